"""The questions to ZooKeeper, every second: to `sync`; for all roots, since a server sends no event
of what the session may not read (3.8.4, 3.9.2 and later: ZOOKEEPER-4799); and whether our watches
still stand, since a restore in place (3.9's admin server) takes all of them with it.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from zk2etcd_workers.model import pacing, tree
from zk2etcd_workers.rounds import seat
from zk2etcd_workers.zookeeper import reply as replies, session as sessions

_EVERY = 1.0
_SOON = 0.25
_MANY = 120
"""Shards from which on one that has come waits longer for the next round, which is of all."""
_LARGE_EVERY = 10
_LARGE = 64 * 1024
"""Bytes of a root's value from which on it is read with each tenth `sync` only."""
_MOST_ROOTS = 128
_MOST_BYTES = 512 * 1024
_UNKNOWN = 32 * 1024
"""Bytes that a root's value counts as which was never read."""


class _Asked(NamedTuple):
    """The tag of one of the questions; `sent` in wall-clock seconds."""

    sent: float
    what: Literal["sync", "roots", "watch"]
    number: int


class _Round:
    """The questions that are under way, and what they were answered until now."""

    def __init__(self, sent: float, epoch: int, seats: Sequence[seat.Seat]) -> None:
        self.sent = sent
        self.epoch = epoch
        self.seats = seats
        self.by_root = collections.defaultdict[bytes, list[seat.Seat]](list)
        for each in seats:
            self.by_root[each.root].append(each)
        self.left = 0
        self.failed = False
        self.denied: set[seat.Seat] = set()
        self.zxid = 0


class OfZooKeeper:
    """Used by the rounds' thread; `deliver` brings each reply back to it."""

    def __init__(
        self, session: sessions.Session, deliver: Callable[[Any], None], patience: float
    ) -> None:
        """:param patience: seconds after which an answer is overdue."""
        self._session = session
        self._deliver = deliver
        self._patience = patience
        self._sizes: dict[bytes, int] = {}
        self._count = 0
        self._round: _Round | None = None
        self._asked_at = 0.0
        self.due = 0.0
        """When it is to be asked next."""

    def soon(self, seats: int) -> None:
        """A shard has come, and there are so many now."""
        self.due = min(self.due, self._asked_at + _SOON * max(1.0, seats / _MANY))

    def ask(self, now: float, seats: Sequence[seat.Seat]) -> None:
        """A second after the last answer, or when one is overdue. A server answers a session's
        requests in their order."""
        session, epoch = self._session, self._session.epoch
        if now < self.due or not session.connected:
            return
        here = [each for each in seats if each.epoch == epoch]
        if not here:
            return
        self._asked_at, self.due = now, now + self._patience
        self._count += 1
        begun = self._round = _Round(time.time(), epoch, here)
        most = session.request_size.most
        roots = list(_batches(self._wanted(begun), self._sizes, most))
        checks = list(self._checked(here)) if session.may_check_watches else []
        begun.left = 1 + len(roots) + len(checks)
        session.sync(here[0].root, self._deliver, self._tag("sync"))
        for batch in roots:
            session.look(batch, self._deliver, self._tag("roots"))
        for root in checks:
            session.check_watch(root, self._deliver, self._tag("watch"))

    def _tag(self, what: Literal["sync", "roots", "watch"]) -> _Asked:
        assert self._round is not None
        return _Asked(self._round.sent, what, self._count)

    def _wanted(self, begun: _Round) -> Iterator[bytes]:
        """Reading a large value every second would cost more than it tells."""
        for root, seats in begun.by_root.items():
            is_small = self._sizes.get(root, 0) <= _LARGE or self._count % _LARGE_EVERY == 0
            if is_small or any(each.is_blind for each in seats):
                yield root

    def _checked(self, seats: Sequence[seat.Seat]) -> Iterator[bytes]:
        """Watches go all at once, with the tree that they were set on. So if the oldest stands, so
        do those that were set after it; another one each time, since which is the oldest is not
        certain to the moment."""
        telling = [each for each in seats if each.ctx.watch_told]
        if telling:
            oldest = min(telling, key=lambda each: each.ctx.watched_at)
            yield from dict.fromkeys((oldest.root, telling[self._count % len(telling)].root))

    def replied(self, reply: replies.Reply) -> None:
        begun, asked = self._round, reply.tag
        if begun is None or asked.number != self._count:
            return
        if reply.error is not None or reply.epoch != begun.epoch:
            begun.failed = True
            self.due = time.monotonic() + _EVERY
            return
        begun.left -= 1
        if asked.what == "sync":
            begun.zxid = reply.zxid
        elif asked.what == "roots":
            self._saw_roots(begun, reply)
        elif not reply.results:
            begun.failed = True
            for each in begun.seats:
                each.is_unwatched()
        if not begun.left and not begun.failed:
            self.due = time.monotonic() + _EVERY
            for each in begun.seats:
                each.is_synced(begun.sent, begun.zxid, denied=each in begun.denied)

    def _saw_roots(self, begun: _Round, reply: replies.Reply) -> None:
        for (_, path), node in zip(reply.ops, reply.results, strict=True):
            self._sizes[path] = len(node.data) if isinstance(node, tree.Node) else 0
            seats = begun.by_root[path]
            if node is tree.Miss.NO_AUTH:
                begun.denied.update(seats)
            for each in seats:
                each.root_is(node)


def _batches(
    roots: Iterator[bytes], sizes: Mapping[bytes, int], most: int
) -> Iterator[Sequence[bytes]]:
    """A bulk read holds one of the server's threads, and its answer is one message; its request has
    at most so many bytes."""
    batch: list[bytes] = []
    size = asks = 0
    for root in roots:
        wanted, asked = sizes.get(root, _UNKNOWN), len(root) + pacing.OP_BYTES
        full = len(batch) >= _MOST_ROOTS or size + wanted > _MOST_BYTES or asks + asked > most
        if batch and full:
            yield batch
            batch, size, asks = [], 0, 0
        batch.append(root)
        size, asks = size + wanted + len(root), asks + asked
    if batch:
        yield batch
