"""A following shard's place among those of its worker, for which the same is asked at once.

It decides what an answer means for this one: what is as it should be is noted, and wakes nobody;
what is not is put into the shard's inbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.model import tree
from zk2etcd_workers.ownership import fence
from zk2etcd_workers.shard import context, freshness, untold

_FORGOTTEN = (
    "the server has forgotten our watch while the session lived on: it was restored, it seems"
)


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
    """One stretch of following. `revision`: etcd's, at the last look that found all well.
    `rollbacks`: how often etcd had been found put back when it began."""

    def __init__(
        self,
        ctx: context.Context,
        fresh: freshness.Freshness,
        judge: untold.Untold,
        deliver: Callable[[Any], None],
    ) -> None:
        """:param deliver: puts into the shard's inbox."""
        self.ctx = ctx
        self._freshness = fresh
        self._untold = judge
        self._deliver = deliver
        self.revision: int | None = None
        self.rollbacks = ctx.etcd.rollbacks

    @property
    def is_blind(self) -> bool:
        """Its root may not be read."""
        return self._freshness.is_blind

    def wake(self) -> None:
        """Have the shard see for itself."""
        self._deliver(None)

    def root_is(self, node: tree.Node | tree.Miss) -> None:
        """Only what is not as it is known is news."""
        if (node is tree.Miss.NO_AUTH) != self.is_blind:
            self._deliver(Root(node))

    def is_unwatched(self) -> None:
        """The server says that we watch nothing, if it ever says otherwise."""
        if self.ctx.watch_told:
            self._deliver(errors.PutBack(_FORGOTTEN))

    def is_synced(self, sent: float, zxid: int, *, denied: bool) -> None:
        """A round that began at `sent`, wall clock, was answered as it should be; see
        `freshness.Freshness.round_synced`. What is being listed may be new and unknown; what a
        comparison has read is known and may be new.

        :param denied: but for its root, which may not be read.
        """
        if not denied and not self.is_blind:
            ctx = self.ctx
            told = not self._untold.compares and ctx.session.has_listed(ctx.root, ctx.epoch)
            self._freshness.round_synced(sent, zxid if told else 0)
        if self._untold.awaits_sync:
            self._deliver(Synced(zxid))

    def looked(self, looked: Looked) -> None:
        """etcd was looked at."""
        answer = looked.standing.answer
        try:
            self.ctx.fence.check(looked.standing)
        except errors.Zk2EtcdError:
            answer = None
        if answer is None:
            self._deliver(looked)
            return
        self.revision = answer.revision
        self._freshness.round_etcd_answered(looked.sent)
        if self._untold.awaits_etcd:
            self._deliver(looked)
