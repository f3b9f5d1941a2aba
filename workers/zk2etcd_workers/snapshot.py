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
import queue
import time
from collections.abc import Generator, Iterator

from zk2etcd import errors
from zk2etcd_workers import mapping, pacing, plan, tree, turn, zk_protocol, zookeeper

_IN_FLIGHT = 4
_BATCH = 64
_HELD_NODES = 8192
_HELD_BYTES = 16 * 1024 * 1024
_LISTING = -1


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


_Slot = tuple[_Dir, int]


class Walk:
    """Iterating yields `plan.Wanted` in key order. Afterwards `zxid` is the highest zxid of all
    replies, `root` the root node or None if there is none, and `opaque` counts the nodes and
    listings that could not be read (`opaque_sample` names some).

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
    ) -> None:
        self._session = session
        self._mapping = shard
        self._turn = pulse
        self._skip_ephemeral = skip_ephemeral
        self._batch = min(_BATCH, read_batch)
        self._patience = patience
        self._epoch = session.epoch
        self._replies: queue.SimpleQueue[zookeeper.Reply] = queue.SimpleQueue()
        self._heap: list[tuple[bytes, int, _Dir]] = []
        self._heavy: set[bytes] = set()
        self._root_dir: _Dir | None = None
        self._in_flight = 0
        self._held = 0
        self._held_bytes = 0
        self.zxid = 0
        self.nodes = 0
        self.root: tree.Node | None = None
        self.opaque = 0
        self.opaque_sample: list[bytes] = []

    def __iter__(self) -> Iterator[plan.Wanted]:
        source = self._mapping.source
        found = self._read_root(source)
        if isinstance(found, tree.Miss):
            if found is not tree.Miss.NO_NODE:
                self._opaque(source)
                yield plan.Wanted(self._mapping.key(source), None, source, 0)
            return
        self.root = found
        self.nodes += 1
        if not (self._skip_ephemeral and tree.is_ephemeral(found)):
            yield self._wanted(found)
        if self._root_dir is not None:
            yield from self._below(self._root_dir)

    def _read_root(self, source: bytes) -> tree.Node | tree.Miss:
        holder = _Dir(b"", 1)
        holder.names, holder.found, holder.read = [source], [None], 1
        self._send([(zk_protocol.GET_DATA, source)], [(holder, 0)], self._permits(1))
        while holder.found[0] is None:
            self._pump()
        found = holder.found[0]
        assert not isinstance(found, bool)
        self._held -= 1
        self._root_dir = holder.subs.get(0)
        return found

    # --- emission ----------------------------------------------------------------------------

    def _below(self, root: _Dir) -> Iterator[plan.Wanted]:
        stack = [_Frame(root)]
        while stack:
            frame = stack[-1]
            sub = yield from self._siblings(frame)
            if sub is not None:
                stack.append(_Frame(sub))
            else:
                stack.pop()

    def _siblings(self, frame: _Frame) -> Generator[plan.Wanted, None, _Dir | None]:
        """Emit a directory's children up to the next subtree, and return that; None at the end."""
        names = self._listed(frame.dir)
        found, subs, pending = frame.dir.found, frame.dir.subs, frame.pending
        for at in range(frame.at, len(names)):
            name = names[at]
            if pending and pending[-1][0] < name:
                frame.at = at
                return pending.pop()[1]
            while (node := found[at]) is None:
                self._pump()
            found[at] = False
            self._held -= 1
            if isinstance(node, tree.Node):
                self._held_bytes -= len(node.data)
                self.nodes += 1
                if not (self._skip_ephemeral and tree.is_ephemeral(node)):
                    yield self._wanted(node)
                if (sub := subs.pop(at, None)) is not None:
                    pending.append((name + b"/", sub))
            elif node is not tree.Miss.NO_NODE:
                path = tree.join(frame.dir.path, name)
                self._opaque(path)
                yield plan.Wanted(self._mapping.key(path), None, path, 0)
        frame.at = len(names)
        return pending.pop()[1] if pending else None

    def _listed(self, directory: _Dir) -> list[bytes]:
        while directory.names is None:
            self._pump()
        return directory.names

    def _wanted(self, node: tree.Node) -> plan.Wanted:
        path, czxid, mzxid = node.path, node.czxid, node.mzxid
        zxid = mzxid if mzxid > czxid else czxid
        return plan.Wanted(self._mapping.key(path), node.data, path, zxid)

    def _opaque(self, path: bytes) -> None:
        self.opaque += 1
        if len(self.opaque_sample) < 100:
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
        while True:
            self._process(reply)
            try:
                reply = self._replies.get_nowait()
            except queue.Empty:
                break
        self._fill()

    def _fill(self) -> None:
        while self._heap and self._in_flight < _IN_FLIGHT:
            ahead = self._held >= _HELD_NODES or self._held_bytes >= _HELD_BYTES
            if ahead and self._in_flight:
                return
            granted = self._session.take(self._batch, live=False)
            if granted == 0:
                return
            ops, slots = self._next_ops(granted)
            self._send(ops, slots, granted)

    def _permits(self, count: int) -> int:
        while not (granted := self._session.take(count, live=False)):
            self._turn.beat()
            time.sleep(0.002)
        return granted

    def _send(self, ops: list[zk_protocol.Op], slots: list[_Slot], granted: int) -> None:
        self._session.give(granted - len(ops))
        self._in_flight += 1
        self._session.read(ops, self._replies.put, slots)

    def _next_ops(self, count: int) -> tuple[list[zk_protocol.Op], list[_Slot]]:
        """The `count` reads nearest to emission. A huge listing travels alone."""
        ops: list[zk_protocol.Op] = []
        slots: list[_Slot] = []
        while self._heap and len(ops) < count:
            key, kind, directory = heapq.heappop(self._heap)
            if directory.names is None:
                alone = directory.expected > pacing.LARGE_LISTING
                if alone and ops:
                    heapq.heappush(self._heap, (key, kind, directory))
                    break
                ops.append((zk_protocol.GET_CHILDREN, directory.path))
                slots.append((directory, _LISTING))
                if alone:
                    break
            elif not self._take_names(directory, count, ops, slots):
                break
        return ops, slots

    def _take_names(
        self, directory: _Dir, count: int, ops: list[zk_protocol.Op], slots: list[_Slot]
    ) -> bool:
        """Add reads of a directory's next children; False: this request is full."""
        names = directory.names or []
        path = directory.path
        base = path if path != tree.ROOT else b""
        heavy = path in self._heavy
        room = min(count, pacing.LARGE_BATCH) if heavy else count
        end = min(len(names), directory.read + max(0, room - len(ops)))
        for at in range(directory.read, end):
            ops.append((zk_protocol.GET_DATA, base + b"/" + names[at]))
            slots.append((directory, at))
        directory.read = end
        if end < len(names):
            self._push(base + b"/" + names[end], directory)
            return False
        return not heavy

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
        size = 0
        for (directory, at), result in zip(reply.tag, reply.results, strict=True):
            if at == _LISTING:
                self._list(directory, result)
                continue
            directory.found[at] = result
            self._held += 1
            if isinstance(result, tree.Node):
                size += len(result.data)
                if result.children:
                    self._descend(directory, at, result)
        self._held_bytes += size
        if size > pacing.LARGE_ANSWERS:
            self._heavy.update(directory.path for directory, _ in reply.tag)

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
