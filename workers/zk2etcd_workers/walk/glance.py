"""What shards of a few small nodes are in ZooKeeper, seen of many at once.

Each start asks for a watch, a `sync`, the root, its children's names, and their values, one after
the other: a thousand shards that start are five thousand requests, each of them with threads here
and there that wake each other. So the shards of a worker that start at the same moment ask together
(`etcd/together`): their watches, one `sync`, and behind it their roots in one read; then the names
in another, and the values. All of it is read on the connection of the watches, after them, as a
walk would: the walk finds it here, and asks for what is not.

It is a walk's reads, so it takes a walk's permits; what there are none for is left to the walk.
"""

from __future__ import annotations

import copy
import functools
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import together
from zk2etcd_workers.model import mapping, pacing, tree
from zk2etcd_workers.walk import directories, names, readahead
from zk2etcd_workers.zookeeper import protocol, reply as replies, session as sessions
from zk2etcd_workers.zookeeper.servers import protocol_choice

_LINGER = 0.001
"""Seconds for which others are waited for: those that were admitted together come one by one."""
_FEW = 24
"""Children: a root with more of them is walked."""
_BATCH = 48
_POLL = 0.002
_LATE = 2.0

_Send = Callable[[replies.ReplySink], None]


class Seen(NamedTuple):
    """What was read on one connection since the watch stood there; `zxid` is the highest of the
    replies. `since`: that of the `sync`. Of what is missing, or may not be read, it says nothing:
    that is for a read of its own."""

    found: Mapping[protocol.Op, tree.Node | tree.Listing]
    zxid: int = 0
    since: int = 0

    def node(self, path: bytes) -> tree.Node | None:
        found = self.found.get((protocol.GET_DATA, path))
        return found if isinstance(found, tree.Node) else None


NOTHING = Seen({})


class Wish(NamedTuple):
    """A shard whose root is to be watched in this epoch, and what of it is to be seen."""

    shard: mapping.Mapping
    epoch: int


class Glances:
    """Of all shards of one session."""

    def __init__(self, session: sessions.Session, settings: connections.ZooKeeper) -> None:
        self._session = session
        self._patience = settings.request_timeout
        self._is_metered = settings.max_reads_per_second is not None
        self._ramp = pacing.Ramp(min(_BATCH, settings.read_batch), session.line.large)
        self._together = together.Together[Wish, Seen](self._carry, _LINGER, first=_LINGER)

    @property
    def serves(self) -> bool:
        """Not the classic protocol, whose reads set watches of their own; nor where it is bounded
        how much may be read: then each shard asks by itself."""
        return self._session.protocol == protocol_choice.BULK and not self._is_metered

    def ask(self, wish: Wish) -> Seen:
        """Watch the shard's root, whatever changes from now on is told of, and see what is there.

        :raises errors.ZooKeeperError: it failed, or was not answered.
        """
        return self._together.ask(wish)

    def _carry(self, wishes: Sequence[Wish]) -> Sequence[Seen | errors.Zk2EtcdError]:
        """In the thread of one of them."""
        look = _Look(self._session, self._ramp, self._patience)
        here = [wish for wish in wishes if wish.epoch == look.epoch]
        if here:
            look.watch(list(dict.fromkeys(wish.shard.source for wish in here)))
            look.below([wish.shard for wish in here])
        seen = Seen(look.found, look.zxid, look.since)
        return [
            errors.SessionDoubt("the ZooKeeper session changed")
            if wish.epoch != look.epoch
            else copy.copy(look.refused.get(wish.shard.source)) or seen
            for wish in wishes
        ]


class _Look:
    """One of them, of some shards."""

    def __init__(self, session: sessions.Session, ramp: pacing.Ramp, patience: float) -> None:
        self._session, self._ramp, self._patience = session, ramp, patience
        self.epoch = session.epoch
        self.found: dict[protocol.Op, tree.Node | tree.Listing] = {}
        self.refused: dict[bytes, errors.ZooKeeperError] = {}
        self.zxid = self.since = 0

    def watch(self, roots: Sequence[bytes]) -> None:
        """Watch them, and read them behind a `sync`. A server answers the requests of one session
        in their order."""
        session = self._session
        sends: list[_Send] = [functools.partial(session.watch, root) for root in roots]
        sends.append(functools.partial(session.sync, roots[0]))
        if asks := session.may_check_watches and session.tells_watches != self.epoch:
            sends.append(functools.partial(session.check_watch, roots[0]))
        granted = session.take(self._room(roots[: self._ramp.batch]), live=False)
        if granted:
            sends.append(self._reading(roots[:granted]))
        came = self._ask(sends)
        for root, reply in zip(roots, came, strict=False):
            if reply.error is not None:
                self.refused[root] = reply.error
        _, *others = came[len(roots) - 1 :]
        for reply in others:
            if reply.error is not None:
                raise reply.error
        self.since = others[0].zxid
        # Whether this server says of a watch, which stands, that it does: then it is worth asking
        # later. Before 3.9 it says so of anybody's watch there: its no is what counts.
        if asks and others[1].results:
            session.tells_watches = self.epoch
        if granted:
            self._saw(others[-1])
        self._read(roots[granted:])

    def below(self, shards: Sequence[mapping.Mapping]) -> None:
        """The children of those roots that have few, as far as there is room."""
        few = {
            shard.source: shard
            for shard in shards
            if (root := self.found.get((protocol.GET_DATA, shard.source))) is not None
            and isinstance(root, tree.Node)
            and 0 < root.children <= _FEW
            and shard.buckets == 1
        }
        if not few:
            return
        roots = list(few)
        while roots:
            part = roots[: self._room(roots[: self._ramp.batch])]
            (reply,) = self._ask([self._reading(part, protocol.GET_CHILDREN)])
            self._saw(reply)
            roots = roots[len(part) :]
        self._values([self._wanted(shard) for shard in few.values()])

    def _room(self, paths: Sequence[bytes]) -> int:
        return pacing.fitting(paths, self._session.request_size.most)

    def _wanted(self, shard: mapping.Mapping) -> Sequence[bytes]:
        listing = self.found.get((protocol.GET_CHILDREN, shard.source))
        if not isinstance(listing, list):
            return ()
        which = names.wanted(shard, shard.source)
        found = names.ordered(listing, which, turn.touch)
        return [tree.join(shard.source, name) for name in found]

    def _values(self, families: Sequence[Sequence[bytes]]) -> None:
        """Those for which there are permits, and room on the line, now."""
        session, line = self._session, self._session.line
        while families:
            wanted = sum(map(len, families))
            each, now = line.each, time.monotonic()
            carried = line.carries(min(wanted, self._ramp.batch), each, now)
            granted = session.take(carried, live=False)
            chosen = list(_fitting(families, granted, session.request_size.most))
            families = families[len(chosen) :]
            paths = [path for family in chosen for path in family]
            session.give(granted - len(paths))
            if not paths:
                return
            line.take(key := object(), len(paths) * each, now)
            (reply,) = self._ask([self._reading(paths)])
            size = None if reply.error else reply.size or directories.size(reply.results)
            line.ended(key, size, time.monotonic())
            self._saw(reply)
            line.typical((size or 0) // len(paths))

    def _read(self, paths: Sequence[bytes]) -> None:
        """All of them, as permits come."""
        until = time.monotonic() + self._patience
        while paths:
            granted = self._session.take(self._room(paths[: self._ramp.batch]), live=False)
            if granted:
                (reply,) = self._ask([self._reading(paths[:granted])])
                self._saw(reply)
                paths = paths[granted:]
            elif time.monotonic() > until:
                return
            else:
                turn.touch()
                time.sleep(_POLL)

    def _reading(self, paths: Sequence[bytes], kind: int = protocol.GET_DATA) -> _Send:
        """A read for which permits were taken."""
        ops = [(kind, path) for path in paths]
        permits = len(ops) if kind == protocol.GET_DATA else 0
        return lambda sink: self._session.read(ops, sink, permits=permits, walks=True)

    def _saw(self, reply: replies.Reply) -> None:
        if reply.error is not None:
            raise reply.error
        self.zxid = max(self.zxid, reply.zxid)
        pairs = zip(reply.ops, reply.results, strict=True)
        self.found.update({op: found for op, found in pairs if not isinstance(found, tree.Miss)})
        nodes = [found for found in reply.results if isinstance(found, tree.Node)]
        if nodes:
            self._ramp.saw(sum(len(node.data) for node in nodes))

    def _ask(self, sends: Sequence[_Send]) -> Sequence[replies.Reply]:
        """Send these, and wait for all answers.

        :raises errors.SessionDoubt: they were not answered, or on another connection.
        """
        came: dict[int, replies.Reply] = {}
        done = threading.Event()

        def arrived(at: int, reply: replies.Reply) -> None:
            """In the connection's thread: it wakes the one that waits once."""
            came[at] = reply
            if len(came) == len(sends):
                done.set()

        for at, send in enumerate(sends):
            send(functools.partial(arrived, at))
        until = time.monotonic() + self._patience + _LATE
        while not done.wait(turn.SLICE):
            turn.touch()
            if time.monotonic() > until:
                raise errors.SessionDoubt("ZooKeeper did not answer a request")
        if any(reply.epoch != self.epoch for reply in came.values()):
            raise errors.SessionDoubt("the ZooKeeper session changed")
        return [came[at] for at in range(len(sends))]


def _fitting(
    families: Sequence[Sequence[bytes]], permits: int, size: int
) -> Iterator[Sequence[bytes]]:
    """The first of them, each whole, as many as so many reads, of so many bytes, are enough for."""
    for family in families:
        permits -= len(family)
        size -= sum(len(path) + pacing.OP_BYTES for path in family)
        if permits < 0 or size < 0:
            return
        yield family


class Reader(readahead.Reader):
    """Takes what has been seen from there, and reads the rest."""

    def __init__(self, seen: Seen, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._seen = seen

    def _send(
        self,
        ops: list[protocol.Op],
        slots: list[readahead.Slot],
        permits: int,
        trusting: int = 0,
    ) -> None:
        known = self._seen.found
        if not all(op in known for op in ops):
            super()._send(ops, slots, permits, trusting)
            return
        self._session.give(permits)
        self._in_flight += 1
        self._trust.under_way += trusting
        results = [known[op] for op in ops]
        tag = slots, trusting
        assert self._epoch is not None
        self._replies.put(replies.Reply(ops, tag, self._epoch, self._seen.zxid, results, None))
