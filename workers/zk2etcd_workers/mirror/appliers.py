"""Who writes for a shard: the one that does, or, in a dry run, one that only says what it would.
Where its range is watched for what strangers write, it also says which writes are ours."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.belonging import forms, marks, writes as belonging
from zk2etcd_workers.drift import ranges
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import paging, plan, tree
from zk2etcd_workers.shard import apply, context, grouping

_FORM_BYTES = 40
_Met = Callable[[Sequence[plan.Write], Sequence[plan.Write]], None]


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


class MarkedApplier(apply.Applier):
    """Writes what is marked as ours, and marks what it creates."""

    most = forms.MOST

    def __init__(self, of: marks.Marks, met: _Met, *given: Any) -> None:
        """:param met: told of writes whose keys are somebody else's, and of what was done."""
        self._marks_of, self._marking, self._met = of, belonging.Marking(of), met
        super().__init__(*given)

    @property
    def may_go_together(self) -> bool:
        return False

    def _sizes(self, writes: Sequence[plan.Write]) -> list[int]:
        """Each name is there twice at least, and so is its mark's."""
        more = 2 * len(self._marks_of.base) + _FORM_BYTES
        return [4 * len(write.key) + len(write.value or b"") + more for write in writes]

    def _build(
        self, writes: Sequence[plan.Write], reads: Sequence[wire.Range], *, guarded: bool
    ) -> grouping.Built:
        flat = guarded or bool(self._learned.operations)
        shape = self._marking.shape(writes, reads, guarded=guarded, flat=flat)
        has_put = any(write.value is not None for write in writes)
        ops = [self._marking.touch(), *shape.ops] if has_put else shape.ops
        return grouping.Built(writes, ops, shape=(shape, 1 + has_put))

    def _written(self, sent: apply.Sent, answer: wire.Answer) -> apply.Settled:
        shape, before = sent.shape
        found = self._marking.settle(shape, answer.after(before), guarded=sent.guarded)
        done, moved, again, theirs, keyless = found
        self._count(done, "success")
        self._met(theirs, done)
        if again:
            self._again.append((again, bool(sent.ranged), False))
        below: Sequence[bytes] = ()
        further: Sequence[paging.Pages] = ()
        if sent.ranged:
            ranges = list(answer.ranges(skip=1))[-len(sent.ranged) :]
            below, further = self._found_below(sent, ranges)
        return apply.Settled(done, moved, (), below, further, sent.zxid, theirs, keyless)


class TellingMarkedApplier(TellingApplier, MarkedApplier):
    """Both."""


def applier(ctx: context.Context, deliver: Callable[[apply.Ack], None]) -> apply.Applier:
    """The applier of a shard; in a dry run, one that only says what it would do."""
    kind: Callable[..., apply.Applier] = DryApplier if ctx.dry_run else apply.Applier
    if ctx.drift is not None:
        kind = functools.partial(TellingApplier, ctx.drift)
    if ctx.marks is not None and not ctx.dry_run:
        met = functools.partial(ctx.conflicts.met, log=ctx.log)
        kind = functools.partial(MarkedApplier, ctx.marks, met)
        if ctx.drift is not None:
            kind = functools.partial(TellingMarkedApplier, ctx.drift, ctx.marks, met)
    return kind(
        ctx.etcd,
        ctx.fence,
        ctx.keys.checkpoint(ctx.shard.id),
        ctx.config.etcd,
        ctx.instruments,
        deliver,
        ctx.ours.below_path,
        functools.partial(ctx.ring.puts, ctx.keys.marks(ctx.shard.id)),
    )
