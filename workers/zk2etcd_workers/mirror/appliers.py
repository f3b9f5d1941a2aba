"""Who writes for a shard: the one that does, or, in a dry run, one that only says what it would.
Where its range is watched for what strangers write, it also says which writes are ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.drift import ranges
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.shard import apply, context


class DryApplier(apply.Applier):
    """Says what it would write, and writes nothing."""

    def _send(
        self,
        writes: Sequence[plan.Write],
        size: int,  # noqa: ARG002 - nothing is sent, so nothing is full
        *,
        ranged: bool = False,  # noqa: ARG002 - nothing is sent, so nothing is found below
        guarded: bool = False,
    ) -> None:
        log = logger.get()
        for write in writes:
            would = "would delete" if write.value is None else "would put"
            log.info(would, key=tree.shown(write.key), path=tree.shown(write.path))
        self.in_flight += 1
        self._deliver(apply.Ack(apply.Sent(writes, 0, (), guarded), None, None))

    def settle(self, ack: apply.Ack) -> apply.Settled:
        self.in_flight -= 1
        return apply.Settled(done=ack.sent.writes)


class TellingApplier(apply.Applier):
    """Tells its shard's `place` of each Txn: before it is sent, and at which revision it wrote."""

    def __init__(self, place: ranges.Seat, *given: Any) -> None:
        super().__init__(*given)
        self._place = place
        self._told: dict[int, int] = {}
        """Of each Txn under way, by its number, the place's number."""

    def _send(
        self,
        writes: Sequence[plan.Write],
        size: int,
        *,
        ranged: bool = False,
        guarded: bool = False,
    ) -> None:
        number = self._place.sent()
        try:
            super()._send(writes, size, ranged=ranged, guarded=guarded)
        except errors.EtcdError:
            self._place.ended(number)
            raise
        # By the number that it was just given: only `settle`, in this thread, takes one off.
        self._told[next(reversed(self._sent_at))] = number

    def settle(self, ack: apply.Ack) -> apply.Settled:
        number = self._told.pop(ack.sent.number)
        settled = super().settle(ack)
        self._ended(number, ack.answer, settled)
        return settled

    def together(self) -> tuple[apply.Ack, apply.Settled] | None:
        number = self._place.sent()
        try:
            written = super().together()
        except errors.EtcdError:
            self._place.ended(number)
            raise
        if written is None:
            self._place.ended(number)
        else:
            self._ended(number, written[0].answer, written[1])
        return written

    def _ended(self, number: int, answer: wire.Answer | None, settled: apply.Settled) -> None:
        """A Txn that wrote nothing is answered with the revision of somebody else's: where a later
        one of ours put a higher checkpoint before it, and its deletes found no key."""
        if answer is None or not answer.succeeded:
            self._place.ended(number)
            return
        puts = any(write.value is not None for write in settled.done)
        wrote = puts or answer.inner(0).succeeded or answer.has_deleted()
        self._place.ended(number, answer.revision if wrote else 0, told=puts)


def applier(ctx: context.Context, deliver: Callable[[apply.Ack], None]) -> apply.Applier:
    """The applier of a shard; in a dry run, one that only says what it would do."""
    kind: Callable[..., apply.Applier] = DryApplier if ctx.dry_run else apply.Applier
    if ctx.drift is not None:
        kind = functools.partial(TellingApplier, ctx.drift)
    return kind(
        ctx.etcd,
        ctx.fence,
        ctx.keys.checkpoint(ctx.shard.id),
        ctx.config.etcd,
        ctx.instruments,
        deliver,
        ctx.mapping.below_path,
        functools.partial(ctx.ring.puts, ctx.keys.marks(ctx.shard.id)),
    )
