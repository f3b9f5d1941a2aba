"""Bulk reads and a recursive watch for servers that have neither: ZooKeeper before 3.6.

A bulk read is taken apart into plain reads that go out side by side, and answered as one. Each sets
a one-shot watch with the read itself, so that nothing falls between the two:

- a node that is there has a watch on its value and one on its children, a leaf too;
- a root that is not there has one on its coming into being;
- after an event its path is dirty, and the read that follows sets the watch again;
- an event "children changed" does not make the node dirty, whose value is the same: it is listed
  again, and every child that is not known yet is dirty, as if a recursive watch had told of it.

What a base read is so watched, and a connection that is lost takes all of it with it: the base that
follows sets the watches anew. Replies and events come in the order of the wire, in one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from zk2etcd import metrics
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import connection, failures, plain_reads, protocol

_LONG = 1000
CREATED, DELETED, CHILDREN_CHANGED = 1, 2, 4

Event = Callable[[int, bytes], None]


class Watches:
    """What is watched over one connection. As large as the tree."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()
        """Nodes that are there, or being read: a child that is not among them is new."""
        self.listed: dict[bytes, int] = {}
        """Nodes whose children are watched, and how many those were."""
        self.changed: set[bytes] = set()
        """Nodes whose children changed, and that are being listed again."""
        self._later: set[bytes] = set()
        self.denied: dict[bytes, set[bytes]] = {}
        """Parent -> children that may not be read: only the parent's listing tells of their end."""

    def fired(self, kind: int, path: bytes) -> None:
        if kind == CHILDREN_CHANGED:
            self.changed.add(path)
        elif kind == DELETED:
            self.gone(path)

    def may_list(self, path: bytes) -> bool:
        """Whether to list a changed node now. A long listing is `due` a little later: made for each
        of a thousand changes, it would keep the server busy, and us."""
        if self.listed.get(path, 0) <= _LONG:
            return True
        self._later.add(path)
        return False

    def due(self) -> list[bytes]:
        """The nodes that were to be listed later; an event from now on adds them again."""
        paths = list(self._later)
        self._later.difference_update(paths)
        return paths

    def gone(self, path: bytes) -> None:
        self.known.discard(path)
        self.listed.pop(path, None)
        self.changed.discard(path)

    def deny(self, path: bytes) -> None:
        self.known.discard(path)
        self.denied.setdefault(_parent(path), set()).add(path)

    def allow(self, path: bytes) -> None:
        self.known.add(path)
        if self.denied and (parent := _parent(path)) in self.denied:
            self.denied[parent].discard(path)

    def compare(self, path: bytes, names: Sequence[bytes], event: Event) -> None:
        """A listing is there: tell of the children that are new, and of the denied that ended."""
        known = self.known
        base = path if path != tree.ROOT else b""
        for name in names:
            child = base + b"/" + name
            if child not in known:
                event(CREATED, child)
        if path in self.denied:
            there = {base + b"/" + name for name in names}
            for child in self.denied.pop(path) - there:
                event(DELETED, child)


class Bulk:
    """One bulk read under way. Shaped like a request: `ops`; `zxid`, the highest of its replies,
    and `lowest`."""

    def __init__(
        self,
        ops: Sequence[protocol.Op],
        client: connection.Client,
        watches: Watches | None,
        event: Event,
        instruments: metrics.Instruments,
        *,
        roots: frozenset[bytes] = frozenset(),
        walks: bool = False,
        again: bool = False,
    ) -> None:
        """:param watches: None: only read.
        :param event: told of what a listing shows to be new.
        :param roots: whose absence is watched.
        :param walks: the caller lists by itself what has children.
        :param again: its listings are those that events asked for.
        """
        self.ops = ops
        self.zxid = 0
        self.lowest = 0
        self._client = client
        self._watches = watches
        self._event = event
        self._instruments = instruments
        self._roots = roots
        self._walks = walks
        self._again = again
        self._results: list[Any] = [None] * len(ops)
        self._left = len(ops)
        self._pending: Any = None

    def send(self, pending: Any) -> None:
        """Send all of it; `pending` gets the results, aligned with `ops`, or one error."""
        self._pending = pending
        watch = self._watches is not None
        for place, (kind, path) in enumerate(self.ops):
            if kind == protocol.GET_DATA:
                if self._watches is not None:
                    self._watches.known.add(path)
                self._ask(plain_reads.GetData(path, watch=watch), place)
            else:
                self._ask(plain_reads.GetChildren(path, watch=watch), place)

    def _ask(self, request: plain_reads.Read, place: int, *, second: bool = False) -> None:
        self._client.send(request, _Part(self, request, place, second=second))

    def answered(self, part: _Part, value: Any, error: BaseException | None) -> None:
        self._client.answered(part)
        status = "success" if error is None else type(error).__name__
        seconds = time.monotonic() - part.started
        self._instruments.zk_op(part.request.op, status, seconds)
        if error is not None:
            miss = failures.miss(error)
            if miss is None:
                # The connection is gone, and all other parts with it.
                self._pending.set_exception(error)
                return
            value = miss
        zxid = part.request.zxid
        self.zxid = max(self.zxid, zxid)
        self.lowest = min(self.lowest or zxid, zxid)
        if not part.second:
            self._results[part.place] = value
        following = self._follow(part, value) if self._watches is not None else None
        if following is not None:
            self._ask(following, part.place, second=True)
            return
        self._left -= 1
        if not self._left:
            self._pending.set(self._results)

    def _follow(self, part: _Part, value: Any) -> plain_reads.Read | None:
        """What this answer says of the watches, and the read that has to follow it, if any."""
        watches = self._watches
        assert watches is not None
        request, path = part.request, part.request.path
        if isinstance(request, plain_reads.GetData):
            return self._after_data(watches, path, value)
        if isinstance(request, plain_reads.Exists):
            if value is True:  # made between the two reads
                self._event(CREATED, path)
        elif isinstance(value, tree.Miss):
            watches.listed.pop(path, None)
            watches.changed.discard(path)
        else:
            watches.listed[path] = len(value)
            if part.second or self._again or path in watches.changed:
                watches.changed.discard(path)
                watches.compare(path, value, self._event)
        return None

    def _after_data(
        self, watches: Watches, path: bytes, value: tree.Node | tree.Miss
    ) -> plain_reads.Read | None:
        if value is tree.Miss.NO_NODE:
            watches.gone(path)
            return plain_reads.Exists(path, watch=True) if path in self._roots else None
        if isinstance(value, tree.Miss):
            watches.deny(path)
            return None
        watches.allow(path)
        if self._walks and value.children:
            return None
        if path in watches.listed:
            return None
        return plain_reads.GetChildren(path, watch=True)


class _Part:
    """One plain read of a bulk read, shaped like kazoo's async result. `second`: it follows the
    answer to the op at this place, which has its result."""

    __slots__ = ("_done", "bulk", "place", "request", "second", "started")

    def __init__(self, bulk: Bulk, request: plain_reads.Read, place: int, *, second: bool) -> None:
        self.bulk = bulk
        self.request = request
        self.place = place
        self.second = second
        self.started = time.monotonic()
        self._done = False

    def set(self, value: Any) -> None:
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        self._settle(None, error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        # kazoo sets the exception twice when it is closing (its `_call`).
        if not self._done:
            self._done = True
            self.bulk.answered(self, value, error)


def _parent(path: bytes) -> bytes:
    return path[: path.rfind(b"/")] or tree.ROOT
