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


class _Unlisted(NamedTuple):
    """A `sync`, answered before all of so many changes of lists were told of."""

    sent: float
    zxid: int
    changes: int


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
        self.ctx, self.root, self.epoch = ctx, ctx.root, ctx.epoch
        self._freshness = fresh
        self._untold = judge
        self._deliver = deliver
        self._unlisted: _Unlisted | None = None
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
        if (node is tree.Miss.NO_AUTH) != self._freshness.is_blind:
            self._deliver(Root(node))

    def is_unwatched(self) -> None:
        """The server says that we watch nothing, if it ever says otherwise."""
        if self.ctx.watch_told:
            self._deliver(errors.PutBack(_FORGOTTEN))

    def is_synced(self, sent: float, zxid: int, *, denied: bool) -> None:
        """A round that began at `sent`, wall clock, was answered as it should be; see
        `freshness.Freshness.round_synced`. What a comparison has read is known and may be new.

        :param denied: but for its root, which may not be read.
        """
        if not denied and not self._freshness.is_blind:
            self._is_listed(sent, 0 if self._untold.compares else zxid)
        if self._untold.awaits_sync:
            self._deliver(Synced(zxid))

    def _is_listed(self, sent: float, zxid: int) -> None:
        """What is in a list that is still to be read may be new and unknown. It is read by the next
        round, as a rule, and then this one counts: else nothing would, where lists change all the
        time."""
        lists = self.ctx.session.lists(self.root, self.epoch)
        if lists is None or lists.told >= lists.changes:
            self._unlisted = None
            self._freshness.round_synced(sent, 0 if lists is None else zxid)
            return
        last = self._unlisted
        if last is not None and lists.told >= last.changes:
            self._freshness.round_synced(last.sent, last.zxid if zxid else 0)
            last = None
        self._unlisted = last or _Unlisted(sent, zxid, lists.changes)

    def stood(self, sent: float, revision: int) -> bool:
        """etcd was looked at: what it has, and what is known here, is as it was when `looked`
        found it well. False: the answer itself is waited for."""
        if self._untold.awaits_etcd:
            return False
        self.revision = revision
        self._freshness.round_etcd_answered(sent)
        return True

    def looked(self, looked: Looked) -> bool:
        """etcd was looked at; whether that shows all to be well."""
        answer = looked.standing.answer
        try:
            self.ctx.fence.check(looked.standing)
        except errors.Zk2EtcdError:
            answer = None
        if answer is None:
            self._deliver(looked)
            return False
        self.revision = answer.revision
        self._freshness.round_etcd_answered(looked.sent)
        if self._untold.awaits_etcd:
            self._deliver(looked)
        return True
