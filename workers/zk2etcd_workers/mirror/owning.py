"""Taking a shard, which comes before all else, and keeping it while nothing may be written.

Each start of a shard that is ours already puts a new token: after any doubt, writes that are still
under way must not land after newer ones. Whoever waits, for another owner or for a person, asks
again every half second; where supervisors share, ours hears of it when the owner lets go.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping

from zk2etcd import conditions, errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import checkpoints, fence, formats, records
from zk2etcd_workers.safety import guard_record, pause_key
from zk2etcd_workers.shard import context, facts as shard_facts

_HELD_POLL = 0.5
_CONTENDED = 0.05


class Owning:
    """One shard's owner key, from the first claim to its release, on the shard's own thread."""

    def __init__(
        self,
        facts: shard_facts.Facts,
        pausing: pause_key.Pausing,
        reaped: Callable[[], Mapping[str, int]],
        waits: Callable[[], None],
    ) -> None:
        """:param waits: called when it has to wait, for another owner or a person."""
        self._facts = facts
        self._pausing = pausing
        self._reaped = reaped
        self._waits = waits
        self._newer = False
        """Whether `format` demanded a newer release when it was last looked at; a claim looks."""
        self._rng = random.Random()

    def take(self, ctx: context.Context) -> checkpoints.Checkpoints:
        """Take the shard, or a new token if it is ours already; waits while another has it. All
        checkpoints, as they were when that was done."""
        if ctx.dry_run:
            formats.require_reader(ctx.etcd, ctx.keys)
            return checkpoints.Checkpoints(ctx.etcd.range(*ctx.keys.all_of("checkpoints")).kvs)
        if self._newer:
            formats.ensure_format(ctx.etcd, ctx.keys)
            self._newer = False
        found = ctx.fence.renew_token() if ctx.fence.token else self._claim(ctx)
        if ctx.etcd.cluster.untold:
            # A copy of this cluster, restored or gone astray, can then be told from it.
            kept = records.encode({"id": ctx.etcd.cluster.id})
            ctx.fence.write([wire.Put(ctx.keys.cluster_id(), kept)])
            ctx.etcd.cluster.told()
        return found

    def _claim(self, ctx: context.Context) -> checkpoints.Checkpoints:
        facts = self._facts
        facts.owned = False
        ctx.waiting.forget()
        while True:
            ctx.turn.beat()
            try:
                found = ctx.fence.claim(self._reaped())
                break
            except errors.Held as held:
                self._rolled_back(ctx)
                self._wait_for(ctx, held)
            except errors.Fenced:
                # Some shard was taken between our look at the owners and our put: look again.
                ctx.turn.pause(self._rng.uniform(0.0, _CONTENDED))
        self._rolled_back(ctx)
        facts.owns()
        ctx.log.info("shard owned", token=ctx.fence.token)
        return found

    def _rolled_back(self, ctx: context.Context) -> None:
        """The claim may be the first to meet an etcd that was away, and was put back meanwhile."""
        if ctx.fence.put_back and self._facts.holder is None:
            ctx.log.warning("etcd was put back to an earlier state (restored from a backup?)")
            self._pausing.rolled_back()
            self._facts.rolled_back()

    def _wait_for(self, ctx: context.Context, held: errors.Held) -> None:
        facts = self._facts
        if facts.holder != held.holder:
            ctx.log.info("shard is owned by another: waiting", holder=held.holder)
        self._pausing.drop()
        ctx.session.idle(ctx.shard.id)
        self._waits()
        facts.waits_for(held.holder)
        ctx.turn.pause(ctx.config.state.lease_ttl / 2 if ctx.shares else _HELD_POLL)

    def hold(
        self,
        ctx: context.Context,
        guard: guard_record.Guarding,
        trip: conditions.Guard,
        due: Callable[[], str | None],
    ) -> None:
        """Write nothing until a person has released this trip; then start over.

        :param due: takes a full sync that is due, which no one gets to see.
        """
        facts = self._facts
        facts.is_held(trip)
        ctx.session.idle(ctx.shard.id)
        self._waits()
        asked = time.monotonic()
        while (release := ctx.grants.use(trip)) is None:
            ctx.turn.pause(_HELD_POLL)
            if due() is not None:
                facts.full_sync_running = False
            if time.monotonic() - asked > fence.LOOK_EVERY and not ctx.dry_run:
                asked = time.monotonic()
                ctx.fence.stands()
        guard.trust(trip, release)
        facts.guard = None

    def doubt(self, ctx: context.Context, error: errors.Zk2EtcdError) -> None:
        """What a failure says of the owner key, and of what else stands beside it."""
        if isinstance(error, errors.Fenced):
            # A token that failed its compare is worth nothing: claim again from the beginning.
            ctx.fence.token = 0
            self._facts.owned = False
        if isinstance(error, errors.RolledBack):
            self._pausing.rolled_back()
            self._facts.rolled_back()
        if isinstance(error, errors.NewerReader):
            # Until the worker is drained: nothing is written before the key was looked at again.
            self._newer, self._facts.refusal = True, str(error)

    def release(self, ctx: context.Context) -> None:
        """Free the shard for the next owner."""
        ctx.session.forget(ctx.shard.id)
        try:
            ctx.fence.release()
        except errors.Zk2EtcdError as error:
            ctx.log.warning("owner key not deleted: tried again", error=str(error))
        self._facts.owned = False
