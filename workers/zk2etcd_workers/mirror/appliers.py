"""Who writes for a shard: the one that does, or, in a dry run, one that only says what it would."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from zk2etcd.logs import logger
from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.shard import apply, context


class DryApplier(apply.Applier):
    """Says what it would write, and writes nothing."""

    def _send(
        self,
        writes: Sequence[plan.Write],
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


def applier(ctx: context.Context, deliver: Callable[[apply.Ack], None]) -> apply.Applier:
    """The applier of a shard; in a dry run, one that only says what it would do."""
    kind = DryApplier if ctx.dry_run else apply.Applier
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
