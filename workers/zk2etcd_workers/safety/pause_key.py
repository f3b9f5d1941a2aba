"""A person has one shard paused: it stays ours, and nothing of it is written until they resume it.

The wish is a key in etcd, so that it outlives workers and supervisors, and whoever owns the shard
next keeps to it. "Paused" is a promise: it is said once the shard has a new token, with which no
write under way can land any more, and once the key stands under that token.
"""

from __future__ import annotations

import threading
import time

from zk2etcd import conditions, messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import fence, kept, records
from zk2etcd_workers.shard import context, facts as shard_facts

_LOOK = 0.5


class Pausing:
    """What a person wants of one shard, and what etcd knows of it. `ask` is called by the worker's
    thread, the rest by the shard's own."""

    def __init__(self, ctx: context.Context, facts: shard_facts.Facts) -> None:
        self._ctx = ctx
        self._facts = facts
        self._key = ctx.keys.pause(ctx.shard.id)
        self._lock = threading.Lock()
        self._wanted: messages.Pause | messages.Resume | None = None
        self._looked = False
        self._kept: conditions.Paused | None = None

    def ask(self, order: messages.Pause | messages.Resume) -> None:
        """Have it carried out at the start of the shard's next cycle, which begins now. The same
        may be asked for again and again. Ignored while another owns the shard."""
        if self._facts.holder is not None:
            return
        with self._lock:
            if self._wanted == order:
                return
            if self._wanted is None and self._is_so(order):
                self._facts.ordered = order.order
                return
            self._wanted = order
        self._ctx.turn.interrupt()

    def _is_so(self, order: messages.Pause | messages.Resume) -> bool:
        return self._looked and isinstance(order, messages.Pause) == (self._facts.pause is not None)

    def drop(self) -> None:
        """Somebody else owns the shard: what is wanted is not for us to do, now or later."""
        with self._lock:
            self._wanted = None

    def rolled_back(self) -> None:
        """etcd went back to an earlier state of itself, from before the pause perhaps. That is
        nobody's wish to resume: it is put there again."""
        self._kept = self._kept or self._facts.pause

    def settle(self, known: kept.Kept) -> conditions.Paused | None:
        """Carry out what is wanted; the pause that stands. The shard has a token of its own.

        :raises errors.Zk2EtcdError: it is not known to have been done; the wish stays.
        """
        if self._ctx.dry_run:
            return None
        self._ctx.turn.calm()
        wanted = self._wanted
        stands = standing(known)
        if stands is None and self._kept is not None and not isinstance(wanted, messages.Resume):
            stands = self._kept
            self._put(stands, known)
        if isinstance(wanted, messages.Pause) and stands is None:
            stands = conditions.Paused(wanted.by, time.time())
            self._put(stands, known)
        elif isinstance(wanted, messages.Resume) and stands is not None:
            self._ctx.fence.write([wire.Delete(self._key)])
            self._ctx.log.warning("shard resumed", by=wanted.by, paused_by=stands.by)
            stands = None
        with self._lock:
            self._facts.pause, self._looked = stands, True
            if stands is None:
                self._facts.resumed()
            self._kept = None
            if wanted is not None:
                self._facts.ordered = wanted.order
                self._wanted = None if self._wanted == wanted else self._wanted
        return stands

    def _put(self, pause: conditions.Paused, known: kept.Kept) -> None:
        fence, put = self._ctx.fence, wire.Put(self._key, records.encode_pause(pause))
        # As where a guard trips: what the checkpoint says may be of an ensemble that is gone, and
        # it would look younger than the release of another shard, which it would hold once more.
        fence.write([put] if _is_in_doubt(known) else [put, fence.touch()])
        self._ctx.log.warning("shard paused: nothing is written", by=pause.by)

    def rest(self) -> None:
        """Write nothing, until `turn.Interrupted`.

        :raises errors.Zk2EtcdError: the shard is not ours any more, or nobody can tell.
        """
        facts, ctx = self._facts, self._ctx
        facts.rests()
        asked = time.monotonic()
        while True:
            ctx.turn.pause(_LOOK)
            facts.full_sync_running = False
            if time.monotonic() - asked > fence.LOOK_EVERY:
                asked = time.monotonic()
                ctx.fence.stands()


def standing(known: kept.Kept) -> conditions.Paused | None:
    """The pause that etcd knows of.

    :raises errors.NewerFormat: it cannot be read.
    """
    return next((records.decode_pause(kv.value, kv.key) for kv in known.pause), None)


def _is_in_doubt(known: kept.Kept) -> bool:
    """Another ensemble answers than was mirrored, or did."""
    trips = [records.GuardRecord.from_bytes(kv.value, kv.key).trip for kv in known.guard]
    return any(trip is not None and trip.kind == "identity" for trip in trips)
