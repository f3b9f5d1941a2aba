"""What becomes of a delete that was seen live: it is written, waits for its node, or is held.

Held are those of a registry whose sessions all ended at once (`model/live/window`), until a person
releases the trip, which is the guard's like any other: in etcd before it holds anything.

What is gone before it is read has no key, as with locks and queues all the time, and is no loss.
Whether there was one a delete's own answer tells: while some are under way nothing trips.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from zk2etcd import conditions
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.model.live import window
from zk2etcd_workers.safety import guard_record
from zk2etcd_workers.shard import context, facts as shard_facts

_TOLD_EVERY = 1.0
_MOST = window.MOST
_NEVER = 60.0
_AT_ONCE = 2_000
"""Keys that are looked up in a row; of all sessions' ends there may be very many."""


class Live:
    """One stretch of following. Used by the shard's thread only.

    :param mark: makes a path dirty again, as one that was seen to go.
    :param again: has one that is busy since it was read read again.
    """

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        mark: Callable[[bytes], None],
        again: Callable[[bytes], None],
    ) -> None:
        self._ctx = ctx
        self._facts = facts
        self._mark, self._again = mark, again
        self._waiting = ctx.waiting
        self._grace = ctx.grace
        self._window: window.Window | None = None
        self._trip = facts.guard
        self._waiting.held = self._trip is not None and self._trip.live
        self._before = self._trip.deletes if self._trip is not None else 0
        """What is held beside what was held here."""
        self._held: dict[bytes, None] = {}
        """Up to `_MOST`, and how many beyond."""
        self._beyond = 0
        self._unsure: dict[bytes, None] = {}
        """Those of them of which nobody has looked whether there is a key."""
        self._under_way: set[bytes] = set()
        """Deletes that are not answered yet, while it is counted what goes."""
        self._deferred: dict[bytes, None] = {}
        """Those that would be too many, if all of these had a key: they wait for the answers."""
        self._told_at = 0.0
        self._is_on = self._grace > 0 or ctx.delete_guard.live is not None or self._waiting.held

    def begin(self, zxid: int) -> None:
        """What is created from here on is new."""
        limits, now = self._ctx.delete_guard.live, time.monotonic()
        if limits is None or self._waiting.held:
            return
        self._window = window.Window(limits, self._facts.keys, zxid, now)
        for path in self._waiting.paths:
            if path not in self._ctx.kept:
                self._window.goes(path, now)

    def may_go(self, path: bytes) -> bool:
        """Whether the key of this node, which is gone, may be deleted now.

        :raises errors.Zk2EtcdError: a trip could not be written.
        """
        if not self._is_on:
            return True
        now = time.monotonic()
        if self._window is not None and not self._waiting.is_known(path):
            counted = self._counted(self._window, path, now)
            if counted is not None:
                return counted
        if self._waiting.held:
            self._waiting.back(path)
            self._hold(path)
            return False
        if self._grace and self._waiting.goes(path, now, self._grace):
            return False
        if self._window is not None:
            self._under_way.add(path)
        return True

    def _counted(self, window: window.Window, path: bytes, now: float) -> bool | None:
        """One more goes. Whether that is already all there is to say."""
        if self._deferred:
            self._deferred[path] = None
            return False
        came = window.goes(path, now)
        if (loss := window.loss()) is None:
            return None
        if self._under_way:
            window.undo(path, came)
            self._deferred[path] = None
            return False
        if self._keyless([path]):
            window.undo(path, came)
            return True
        self._trips(path, loss, now)
        return None

    def defers(self, path: bytes) -> bool:
        """It is busy until it is known whether it may go."""
        return path in self._deferred

    def kept(self, path: bytes) -> None:
        """Its delete is not asked for: it is the last key of its folder (`safety/lasting`). Its
        node is waited for meanwhile, so that this is over once it is not the last any more."""
        if self._grace:
            self._waiting.goes(path, time.monotonic(), self._grace)

    def wrote(self, writes: Iterable[plan.Write], found: Iterable[bool]) -> None:
        """A Txn with these was carried out.

        :param found: of each delete, in order, whether there was a key of ours.
        """
        if not self._under_way:
            return
        deletes = [write.path for write in writes if write.value is None]
        for path, had_key in zip(deletes, found if deletes else (), strict=False):
            if not had_key and self._window is not None:
                self._window.undo(path)
            self._answered(path)

    def refused(self, path: bytes) -> None:
        """etcd takes no delete of it."""
        self._answered(path)

    def _answered(self, path: bytes) -> None:
        self._under_way.discard(path)
        if not self._under_way:
            deferred, self._deferred = self._deferred, {}
            for each in deferred:
                self._again(each)

    def is_there(self, node: tree.Node) -> None:
        """This node was read."""
        if not self._is_on:
            return
        if self._grace:
            self._waiting.saw((node,), self._grace)
            self._waiting.back(node.path)
        if self._window is not None:
            self._window.comes(node, time.monotonic())
        self._held.pop(node.path, None)
        self._unsure.pop(node.path, None)

    def tick(self, now: float, zxid: int) -> None:
        """What is due by now; a full sync may have judged anew, or found nothing to be held."""
        if not self._is_on:
            return
        if (trip := self._facts.guard) is not self._trip:
            self._judged(trip, zxid)
        if self._window is not None:
            self._window.look(now, self._facts.keys, zxid)
        for path in self._waiting.due(now):
            self._mark(path)
        if self._has_news and now - self._told_at >= _TOLD_EVERY:
            self._tell(now)

    def next(self, now: float) -> float:
        """Seconds until `tick` has something to do by itself."""
        if self._has_news:
            return _TOLD_EVERY
        due = self._waiting.next(now)
        return _NEVER if due is None else due

    # --- what is held --------------------------------------------------------------------------

    def _hold(self, path: bytes) -> None:
        if path in self._held:
            return
        if len(self._held) < _MOST:
            self._held[path] = self._unsure[path] = None
        else:
            self._beyond += 1

    def _keyless(self, paths: Sequence[bytes]) -> list[bytes]:
        """Those of these paths, of which nothing is under way, that have no key.

        :raises errors.EtcdError: nobody knows.
        """
        keyless: list[bytes] = []
        for at in range(0, len(paths), _AT_ONCE):
            self._ctx.turn.beat()
            some = paths[at : at + _AT_ONCE]
            keys = [self._ctx.ours.key(path) for path in some]
            found = self._ctx.etcd.lookup(keys, keys_only=True)
            keyless += [path for path, kv in zip(some, found, strict=True) if kv is None]
        return keyless

    def _trips(self, path: bytes, loss: window.Loss, now: float) -> None:
        """From this one on, none goes: neither those that wait for their nodes already."""
        self._window = None
        self._hold(path)
        self._write(now, loss.reason, loss.present, loss.creates)
        for each in self._waiting.hold():
            self._mark(each)

    @property
    def _total(self) -> int:
        return self._before + len(self._held) + self._beyond

    @property
    def _has_news(self) -> bool:
        """A release allows at most as many as were shown, so the trip follows what is held."""
        trip = self._trip
        return self._waiting.held and trip is not None and self._total > trip.deletes

    def _tell(self, now: float) -> None:
        assert self._trip is not None
        unsure, self._unsure = list(self._unsure), {}
        for path in self._keyless(unsure):
            del self._held[path]
        if self._has_news:
            self._write(now, self._trip.reason, self._trip.present, self._trip.creates)

    def _write(self, now: float, reason: str, present: int, creates: int) -> None:
        guard = guard_record.Guarding(self._ctx, self._facts)
        self._trip = guard.hold_live(reason, self._total, present, creates, self._held)
        self._told_at = now

    def _judged(self, trip: conditions.Guard | None, zxid: int) -> None:
        """A full sync did: what it counted holds what was held here."""
        self._trip, self._before = trip, trip.deletes if trip is not None else 0
        self._held.clear()
        self._unsure.clear()
        self._beyond = 0
        was_held, self._waiting.held = self._waiting.held, trip is not None and trip.live
        if was_held and not self._waiting.held:
            self.begin(zxid)
