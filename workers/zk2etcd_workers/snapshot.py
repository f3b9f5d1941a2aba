"""Walk a subtree in the byte order of its etcd keys, in bounded memory, with bulk reads.

etcd sorts keys as bytes, so `/a-b` comes before `/a/x`. A directory's children are therefore
emitted in the order of their names, and the subtree of child `c` at the place of the name `c/`.
The walk then lines up with a range over etcd, and the two can be compared as streams.

Reads run ahead of what is emitted, in that same order: whatever is nearest to being emitted is
read first, so that requests are full and what is held stays small.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import queue
import time
from collections.abc import Iterator

from zk2etcd import errors
from zk2etcd_workers import mapping, pacing, plan, tree, turn, zk_protocol, zookeeper

_IN_FLIGHT = 3
_KNOWN_IN_FLIGHT = 4
_BATCH = 112
_HELD_NODES = 8192
_HELD_BYTES = 16 * 1024 * 1024
_RUN = 128


class _Dir:
    """A node with children. `found[i]` is what was read of `names[i]`: None not yet, False when
    it has been emitted."""

    __slots__ = ("expected", "found", "names", "path", "read", "subs")

    def __init__(self, path: bytes, expected: int) -> None:
        self.path = path
        self.expected = expected
        self.names: list[bytes] | None = None
        self.found: list[tree.Node | tree.Miss | bool | None] = []
        self.subs: dict[int, _Dir] = {}
        self.read = 0


@dataclasses.dataclass
class _Frame:
    dir: _Dir
    at: int = 0
    pending: list[tuple[bytes, _Dir]] = dataclasses.field(default_factory=list)

    def is_done(self) -> bool:
        names = self.dir.names
        return names is not None and self.at >= len(names) and not self.pending


_Slot = tuple[_Dir, int, int]
"""Whose answers come next in a reply: of `count` names from `start` on, or, with 0, its listing."""


class Walk:
    """Iterating yields `plan.Wanted` in key order. Afterwards `zxid` is the highest zxid of all
    replies, `largest` the largest value in bytes, `root` the root node or None if there is none;
    `opaque` counts the nodes and listings that could not be read, and `opaque_sample` names some.

    :raises errors.SessionDoubt: the session changed under way: start over.
    """

    def __init__(
        self,
        session: zookeeper.Session,
        shard: mapping.Mapping,
        pulse: turn.Turn,
        *,
        skip_ephemeral: bool = False,
        read_batch: int = 256,
        patience: float = 10.0,
        largest: int | None = None,
    ) -> None:
        """:param largest: the largest value that the last read of all showed, in bytes; None if
        there was none, and the sizes are unknown.
        """
        self._session = session
        self._mapping = shard
        self._key = shard.key if shard.source != shard.target else None
        self._turn = pulse
        self._skip_ephemeral = skip_ephemeral
        self._known = largest is not None and largest <= pacing.KNOWN_SMALL
        self._ramp = pacing.Ramp(read_batch if self._known else min(_BATCH, read_batch))
        self._parallel = _KNOWN_IN_FLIGHT if self._known else _IN_FLIGHT
        self._most = read_batch
        self._patience = patience
        self._epoch = session.epoch
        self._replies: queue.SimpleQueue[zookeeper.Reply] = queue.SimpleQueue()
        self._heap: list[tuple[bytes, int, _Dir]] = []
        self._heavy: set[bytes] = set()
        self._root_dir: _Dir | None = None
        self._in_flight = 0
        self._request_bytes = 0
        self._held = 0
        self._held_bytes = 0
        self.zxid = 0
        self.nodes = 0
        self.largest = 0
        self.root: tree.Node | None = None
        self.opaque = 0
        self.opaque_sample: list[bytes] = []

    def __iter__(self) -> Iterator[plan.Wanted]:
        return itertools.chain.from_iterable(self._runs())

    def _runs(self) -> Iterator[list[plan.Wanted]]:
        """The nodes in key order, in lists, so that one costs no trip through generators."""
        source = self._mapping.source
        found = self._read_root(source)
        if isinstance(found, tree.Miss):
            if found is not tree.Miss.NO_NODE:
                yield [self._unreadable(source)]
            return
        self.root = found
        run: list[plan.Wanted] = []
        self.nodes, self.largest = 1, len(found.data)
        if self._is_wanted(found):
            zxid = max(found.czxid, found.mzxid)
            run.append(plan.Wanted(self._mapping.key(source), found.data, source, zxid))
        if self._root_dir is not None:
            yield from self._below(self._root_dir, run)
        yield run

    def _read_root(self, source: bytes) -> tree.Node | tree.Miss:
        holder = _Dir(b"", 1)
        holder.names, holder.found, holder.read = [source], [None], 1
        self._wait_for_permit()
        self._send([(zk_protocol.GET_DATA, source)], [(holder, 0, 1)])
        while holder.found[0] is None:
            self._pump()
        found = holder.found[0]
        assert not isinstance(found, bool)
        self._held = self._held_bytes = 0
        self._root_dir = holder.subs.get(0)
        return found

    # --- emission ----------------------------------------------------------------------------

    def _below(self, root: _Dir, run: list[plan.Wanted]) -> Iterator[list[plan.Wanted]]:
        """Fill `run` and hand it on, whenever it is long enough or there is nothing to add yet."""
        stack = [_Frame(root)]
        while stack:
            frame = stack[-1]
            before = frame.at
            if self._siblings(frame, run):
                stack.append(_Frame(frame.pending.pop()[1]))
            elif frame.is_done():
                stack.pop()
            elif frame.at == before and run:
                yield run[:]
                run.clear()
            elif frame.at == before:
                self._pump()
            if len(run) >= _RUN:
                self._absorb()
                yield run[:]
                run.clear()

    def _siblings(self, frame: _Frame, run: list[plan.Wanted]) -> bool:
        """Add what is there of a directory's children to `run`; True when a subtree is next."""
        names = frame.dir.names
        if names is None:
            return False
        found, subs, pending = frame.dir.found, frame.dir.subs, frame.pending
        start, end = frame.at, min(len(names), frame.at + _RUN)
        at, freed, largest = start, 0, self.largest
        kind, new, key_of = tree.Node, plan.Wanted, self._key
        while at < end and (node := found[at]) is not None:
            if pending and pending[-1][0] < names[at]:
                break
            found[at] = False
            if type(node) is kind:
                path, data, czxid, mzxid, _, owner, children = node
                freed += (size := len(data))
                if size > largest:  # noqa: PLR1730 - max() costs a call for each node
                    largest = size
                if not owner or self._is_wanted(node):
                    key = path if key_of is None else key_of(path)
                    zxid = mzxid if mzxid > czxid else czxid
                    run.append(new(key, data, path, zxid))
                if children and (sub := subs.pop(at, None)) is not None:
                    pending.append((names[at] + b"/", sub))
            elif node is not tree.Miss.NO_NODE:
                run.append(self._unreadable(tree.join(frame.dir.path, names[at])))
            at += 1
        frame.at, self.largest = at, largest
        self.nodes += at - start
        self._held -= at - start
        self._held_bytes -= freed
        return bool(pending) and (at == len(names) or pending[-1][0] < names[at])

    def _is_wanted(self, node: tree.Node) -> bool:
        return not (self._skip_ephemeral and tree.is_ephemeral(node))

    def _unreadable(self, path: bytes) -> plan.Wanted:
        self._opaque(path)
        return plan.Wanted(self._mapping.key(path), None, path, 0)

    def _opaque(self, path: bytes) -> None:
        self.opaque += 1
        if len(self.opaque_sample) < 1000:
            self.opaque_sample.append(path)

    # --- reading ahead -----------------------------------------------------------------------

    def _pump(self) -> None:
        """Keep requests under way, and wait for at least one reply."""
        self._fill()
        started = time.monotonic()
        while True:
            self._turn.beat()
            try:
                reply = self._replies.get(timeout=turn.SLICE if self._in_flight else 0.002)
                break
            except queue.Empty:
                self._fill()
            if self._session.epoch != self._epoch:
                raise errors.SessionDoubt("the ZooKeeper session changed during a walk")
            if self._in_flight and time.monotonic() - started > self._patience + 2:
                raise errors.SessionDoubt("ZooKeeper did not answer a bulk read")
        self._process(reply)
        self._absorb()

    def _absorb(self) -> None:
        """Take in the replies that are there and ask for more, so that the server is never idle
        while what it sent is being used."""
        while not self._replies.empty():
            self._process(self._replies.get())
        self._fill()

    def _fill(self) -> None:
        while self._heap and self._in_flight < self._parallel:
            ahead = self._held >= _HELD_NODES or self._held_bytes >= _HELD_BYTES
            if ahead and self._in_flight:
                return
            granted = self._session.take(self._ramp.batch, live=False, known=self._known)
            if granted == 0:
                return
            ops, slots, used = self._next_ops(granted)
            if not self._known:
                self._session.give(granted - used)
            self._send(ops, slots)

    def _wait_for_permit(self) -> None:
        while not self._session.take(1, live=False, known=self._known):
            self._turn.beat()
            time.sleep(0.002)

    def _send(self, ops: list[zk_protocol.Op], slots: list[_Slot]) -> None:
        self._in_flight += 1
        self._session.read(ops, self._replies.put, slots, known=self._known)

    def _next_ops(self, permits: int) -> tuple[list[zk_protocol.Op], list[_Slot], int]:
        """The reads nearest to emission, at most `permits` of them data reads, and how many of
        them are. A huge listing travels alone."""
        ops: list[zk_protocol.Op] = []
        slots: list[_Slot] = []
        left = permits
        self._request_bytes = 0
        while self._heap and len(ops) < self._most:
            directory = self._heap[0][2]
            if directory.names is None:
                alone = directory.expected > pacing.LARGE_LISTING
                self._request_bytes += len(directory.path) + pacing.OP_BYTES
                if ops and (alone or self._request_bytes > pacing.REQUEST_BYTES):
                    break
                heapq.heappop(self._heap)
                ops.append((zk_protocol.GET_CHILDREN, directory.path))
                slots.append((directory, 0, 0))
                if alone:
                    break
            else:
                room = min(left, self._most - len(ops))
                taken, full = self._take_names(directory, room, ops, slots)
                left -= taken
                if full:
                    break
        return ops, slots, permits - left

    def _take_names(
        self, directory: _Dir, room: int, ops: list[zk_protocol.Op], slots: list[_Slot]
    ) -> tuple[int, bool]:
        """Add reads of the first directory's next children: (how many, the request is full)."""
        names = directory.names or []
        path = directory.path
        base = path if path != tree.ROOT else b""
        heavy = path in self._heavy
        start = directory.read
        end = min(len(names), start + (min(room, pacing.LARGE_BATCH) if heavy else room))
        size = self._request_bytes
        for at in range(start, end):
            path = base + b"/" + names[at]
            size += len(path) + pacing.OP_BYTES
            if size > pacing.REQUEST_BYTES and ops:
                end = at
                break
            ops.append((zk_protocol.GET_DATA, path))
        if end > start:
            slots.append((directory, start, end - start))
        self._request_bytes = size
        directory.read = end
        heapq.heappop(self._heap)
        if end < len(names):
            self._push(base + b"/" + names[end], directory)
        return end - start, heavy or end < len(names)

    def _push_listing(self, directory: _Dir) -> None:
        self._push(directory.path + b"/", directory)

    def _push(self, key: bytes, directory: _Dir) -> None:
        heapq.heappush(self._heap, (key, id(directory), directory))

    def _process(self, reply: zookeeper.Reply) -> None:
        self._in_flight -= 1
        if reply.error is not None:
            raise reply.error
        if reply.epoch != self._epoch:
            raise errors.SessionDoubt("the ZooKeeper session changed during a walk")
        self.zxid = max(self.zxid, reply.zxid)
        results, at, size, kind = reply.results, 0, 0, tree.Node
        for directory, start, count in reply.tag:
            if not count:
                self._list(directory, results[at])
                at += 1
                continue
            part = results[at : at + count]
            at += count
            directory.found[start : start + count] = part
            self._held += count
            for index, node in enumerate(part, start):
                if type(node) is kind:
                    size += len(node.data)
                    if node.children:
                        self._descend(directory, index, node)
        self._held_bytes += size
        self._ramp.saw(size)
        if size > pacing.LARGE_ANSWERS:
            self._heavy.update(directory.path for directory, _, _ in reply.tag)

    def _descend(self, directory: _Dir, at: int, node: tree.Node) -> None:
        sub = _Dir(node.path, node.children)
        directory.subs[at] = sub
        self._push_listing(sub)

    def _list(self, directory: _Dir, result: tree.Listing | tree.Miss) -> None:
        if isinstance(result, tree.Miss):
            names: list[bytes] = []
            if result is not tree.Miss.NO_NODE:
                self._opaque(directory.path)
        else:
            names = sorted(result)
            if self._mapping.excluded:
                names = self._kept(directory.path, names)
        directory.names = names
        directory.found = [None] * len(names)
        if names:
            self._push(tree.join(directory.path, names[0]), directory)

    def _kept(self, parent: bytes, names: list[bytes]) -> list[bytes]:
        excluded = set(self._mapping.excluded)
        return [name for name in names if tree.join(parent, name) not in excluded]
