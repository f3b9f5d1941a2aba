"""How fresh a following shard is, and what proves it (docs/guarantees.md, "What freshness means").

A quiet shard looks the same whether nothing happens or nothing is heard. So ZooKeeper is asked
every second, and etcd every two, for all shards of a worker at once (`mirror/rounds`); here stands
what an answer means for one. Most have nothing to do then, and nobody wakes their threads.
"""

from __future__ import annotations

from collections.abc import Sized

from zk2etcd import errors
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import context, dirty_paths, facts as shard_facts

_LOOKS_LOST = 2


class Freshness:
    """The truth about freshness, on a quiet prefix too: once all that was dirty when a `sync` was
    answered has been written, and nothing speaks against it, the shard is as new as when that
    `sync` was sent, or as etcd's last answer if that is older.

    Methods that begin with `round_` are called by the thread that asks for all shards, the others
    by the shard's own. What both know are plain values, each replaced whole; the worst that a race
    does is that a shard counts as a second older than it is.
    """

    def __init__(
        self, ctx: context.Context, facts: shard_facts.Facts, dirty: dirty_paths.Dirty
    ) -> None:
        self._ctx = ctx
        self._facts = facts
        self._dirty = dirty
        self._settled = 0
        """All that was marked until then, by its mark, has been written."""
        self._awaited: tuple[float, int, int] | None = None
        self._clean = 0
        self._was_blind = False
        self._zookeeper_at: float | None = None
        self._etcd_at: float | None = None
        self._unanswered = 0
        self.is_blind = facts.blind is not None
        """Its root may not be read; as `Facts.blind`, for who asks often."""

    @property
    def clean(self) -> int:
        """All that ZooKeeper changed up to this zxid is in etcd; 0 while nothing proves that, and
        once it was blind: nobody knows since when it had not been told of everything."""
        return 0 if self._was_blind else self._clean

    # --- the shard's own thread --------------------------------------------------------------

    def look(self, busy: Sized) -> bool:
        """Has everything been written that was dirty or busy? Tells so, and whether it was."""
        # First: what comes after this is dirty, or counted by the next look.
        mark = self._dirty.sequence
        if self._dirty or busy or self._dirty.has_overflowed:
            return False
        self._settled = mark
        if (awaited := self._awaited) is not None and awaited[1] <= mark:
            self._awaited, self._zookeeper_at = None, awaited[0]
            self._clean = max(self._clean, awaited[2])
            self._tell()
        return True

    def root_is(self, root: tree.Node | tree.Miss) -> None:
        """What a look at the root found, when that was not what was known.

        :raises errors.SessionDoubt: events may be missing: start over.
        """
        if root is tree.Miss.NO_AUTH:
            self._go_blind()
        elif self.is_blind:
            self.is_blind = False
            self._facts.sees()
            raise errors.SessionDoubt(
                "the root may be read again: ZooKeeper may have told nothing of what changed "
                "meanwhile"
            )

    def _go_blind(self) -> None:
        """What is set and made is still told of by servers that do not filter, and of nodes below
        with rights of their own: so the shard goes on following, and claims nothing."""
        if self.is_blind:
            return
        path = tree.shown(self._ctx.root)
        why = (
            f"ZooKeeper denies the right to read {path}: it may tell nothing of changes there and "
            "below, so what is in etcd may be old; let zookeeper.auth or zookeeper.sasl read it"
        )
        self._awaited, self._was_blind = None, True
        self.is_blind = True
        self._facts.goes_blind(why, self._ctx.trace_id)
        self._ctx.log.warning("root may not be read", path=path, error=why)

    def etcd_silent(self) -> None:
        """:raises errors.EtcdUnavailable: that was so before, too. One may be lost when a member is
        left for another; and an etcd that was away may come back as another one."""
        self._unanswered += 1
        if self._unanswered >= _LOOKS_LOST:
            names = ", ".join(self._ctx.config.etcd.endpoints)
            raise errors.EtcdUnavailable(
                f"etcd ({names}) did not answer, {self._unanswered} times in a row, whether the "
                "shard is still ours"
            )

    # --- the thread that asks for all shards -------------------------------------------------

    def round_synced(self, sent: float, zxid: int = 0) -> None:
        """A `sync` that was sent then (wall clock) has been answered, well, and so has all that was
        asked beside it. Every event from before the answer has marked its path by now.

        :param zxid: its answer's, if all that had changed by then has marked its path; else 0.
        """
        mark = self._dirty.sequence
        if self._settled >= mark:
            self._zookeeper_at = sent
            self._clean = max(self._clean, zxid)
            self._tell()
        else:
            self._awaited = (sent, mark, zxid)

    def round_etcd_answered(self, sent: float) -> None:
        """etcd has answered a question about this shard's keys that was sent then, wall clock."""
        self._unanswered = 0
        self._etcd_at = max(sent, self._etcd_at or sent)
        self._tell()

    def _tell(self) -> None:
        if self._zookeeper_at is None:
            return
        if self._ctx.dry_run:
            self._facts.is_fresh(self._zookeeper_at)
        elif self._etcd_at is not None:
            self._facts.is_fresh(min(self._zookeeper_at, self._etcd_at))
