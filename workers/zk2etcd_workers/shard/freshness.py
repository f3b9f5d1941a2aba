"""How fresh a following shard is, and what proves it (docs/guarantees.md, "What freshness means").

A quiet shard looks the same whether nothing happens or nothing is heard. So every second ZooKeeper
is asked three things at once: to `sync`; for the root, since a server sends no event of what the
session may not read (3.8.4, 3.9.2 and later: ZOOKEEPER-4799); and whether our watch still stands,
since a restore in place takes all watches with it (the admin server of 3.9). And etcd has
to have answered since.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Literal, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import context, dirty_paths, facts as shard_facts
from zk2etcd_workers.zookeeper import reply as replies

_EVERY = 1.0
_LARGE_EVERY = 10
_LARGE = 64 * 1024
"""Bytes of a root's value from which on it is read with each tenth `sync` only."""
_LOOKS_LOST = 2


class Asked(NamedTuple):
    """The tag of one of the questions; `sent` in wall-clock seconds."""

    sent: float
    what: Literal["sync", "root", "watch"]


class Freshness:
    """The truth about freshness, on a quiet prefix too: once all that was dirty when a `sync` was
    answered has been written, and nothing speaks against it, the shard is as new as when that
    `sync` was sent, or as etcd's last answer if that is older."""

    def __init__(
        self, ctx: context.Context, facts: shard_facts.Facts, dirty: dirty_paths.Dirty
    ) -> None:
        self._ctx = ctx
        self._facts = facts
        self._dirty = dirty
        self._at = 0.0
        self._left: set[str] = set()
        self._synced: tuple[float, int] | None = None
        self._awaited: tuple[float, int] | None = None
        self._skipped = 0
        self._is_large = False
        self._zookeeper_at: float | None = None
        self._etcd_at: float | None = None
        self._unanswered = 0

    def ask(self, now: float, sink: replies.ReplySink) -> None:
        """Ask the next questions if it is time: a second after the last answer, or when one is
        overdue. A server answers a session's requests in their order."""
        if now < self._at:
            return
        session, root = self._ctx.session, self._ctx.root
        self._at = now + self._ctx.config.zookeeper.request_timeout
        self._left, self._synced = {"sync"}, None
        sent = time.time()
        if self._wants_root():
            self._left.add("root")
        if self._ctx.watch_told:
            self._left.add("watch")
        wanted = frozenset(self._left)
        session.sync(root, sink, Asked(sent, "sync"))
        if "root" in wanted:
            session.look(root, sink, Asked(sent, "root"))
        if "watch" in wanted:
            session.check_watch(root, sink, Asked(sent, "watch"))

    def _wants_root(self) -> bool:
        """Reading a large value every second would cost more than it tells."""
        self._skipped = (self._skipped + 1) % _LARGE_EVERY
        return self._facts.blind is not None or not self._is_large or self._skipped == 0

    def answered(self, reply: replies.Reply) -> bool:
        """Whether it was a `sync` that was answered, and answered well.

        :raises errors.SessionDoubt: events may be missing: start over.
        """
        asked: Asked = reply.tag
        if reply.error is not None or reply.epoch != self._ctx.epoch:
            return False
        if asked.what == "sync":
            self._synced = (asked.sent, self._dirty.sequence)
        elif asked.what == "root":
            self._read_root(reply.results[0])
        elif not reply.results:
            raise errors.PutBack(
                "the server has forgotten our watch while the session lived on: it was restored, "
                "it seems"
            )
        self._left.discard(asked.what)
        if not self._left and self._synced is not None:
            self._at = time.monotonic() + _EVERY
            if self._facts.blind is None:
                self._awaited = self._synced
        return asked.what == "sync"

    def _read_root(self, root: tree.Node | tree.Miss) -> None:
        if isinstance(root, tree.Node):
            self._is_large = len(root.data) > _LARGE
        if root is tree.Miss.NO_AUTH:
            self._go_blind()
        elif self._facts.blind is not None:
            self._facts.sees()
            raise errors.SessionDoubt(
                "the root may be read again: ZooKeeper may have told nothing of what changed "
                "meanwhile"
            )

    def _go_blind(self) -> None:
        """What is set and made is still told of by servers that do not filter, and of nodes below
        with rights of their own: so the shard goes on following, and claims nothing."""
        if self._facts.blind is not None:
            return
        path = tree.shown(self._ctx.root)
        why = (
            f"ZooKeeper denies the right to read {path}: it may tell nothing of changes there and "
            "below, so what is in etcd may be old; let zookeeper.auth or zookeeper.sasl read it"
        )
        self._awaited = None
        self._facts.goes_blind(why, self._ctx.trace_id)
        self._ctx.log.warning("root may not be read", path=path, error=why)

    def look(self, busy: Mapping[bytes, int]) -> None:
        """Has everything been written that was dirty or busy at the last answer?"""
        if self._awaited is None:
            return
        sent, mark = self._awaited
        if self._dirty.any_until(mark) or any(each <= mark for each in busy.values()):
            return
        self._awaited = None
        self._zookeeper_at = sent
        self._tell()

    def etcd_answered(self, sent: float) -> None:
        """etcd has answered a question about this shard's keys that was sent then, wall clock."""
        self._unanswered = 0
        self._etcd_at = max(sent, self._etcd_at or sent)
        self._tell()

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

    def _tell(self) -> None:
        if self._zookeeper_at is None:
            return
        if self._ctx.dry_run:
            self._facts.synced_at = self._zookeeper_at
        elif self._etcd_at is not None:
            self._facts.synced_at = min(self._zookeeper_at, self._etcd_at)
