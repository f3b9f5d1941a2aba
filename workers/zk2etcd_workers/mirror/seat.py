"""A following shard's place among those of its worker, for which the same is asked at once: what
`rounds` knows of it, and what it may find in its inbox from there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from zk2etcd_workers.model import tree
from zk2etcd_workers.ownership import fence
from zk2etcd_workers.shard import context, freshness, untold


class Root(NamedTuple):
    """What a look at the root found, when that was not what was known."""

    node: tree.Node | tree.Miss


class Synced(NamedTuple):
    """A `sync` was answered at this zxid."""

    zxid: int


class Looked(NamedTuple):
    """What etcd said of the owner key when it was asked at `sent`, wall clock."""

    sent: float
    standing: fence.Standing


class Seat:
    """One stretch of following. `deliver` puts into the shard's inbox; None only wakes it.
    `revision`: etcd's, at the last look that found all well. `rollbacks`: how often etcd had been
    found put back when it began."""

    def __init__(
        self,
        ctx: context.Context,
        fresh: freshness.Freshness,
        judge: untold.Untold,
        deliver: Callable[[Any], None],
    ) -> None:
        self.ctx = ctx
        self.freshness = fresh
        self.untold = judge
        self.deliver = deliver
        self.revision: int | None = None
        self.rollbacks = ctx.etcd.rollbacks

    def synced(self, sent: float, zxid: int) -> None:
        """A `sync` was answered, and all is well; see `freshness.Freshness.round_synced`. What is
        being listed may be new and unknown; what a comparison has read is known and may be new."""
        ctx = self.ctx
        told = not self.untold.compares and ctx.session.has_listed(ctx.root, ctx.epoch)
        self.freshness.round_synced(sent, zxid if told else 0)
