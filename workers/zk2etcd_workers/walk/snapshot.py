"""Walk a subtree in the byte order of its etcd keys, in bounded memory, with bulk reads.

etcd sorts keys as bytes, so `/a-b` comes before `/a/x`. A directory's children are therefore
emitted in the order of their names, and the subtree of child `c` at the place of the name `c/`.
The walk then lines up with a range over etcd, and the two can be compared as streams.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from zk2etcd_workers import turn
from zk2etcd_workers.model import mapping, plan, tree
from zk2etcd_workers.walk import directories, glance
from zk2etcd_workers.zookeeper import session as sessions

_RUN = 128
_RUN_BYTES = 2 * 1024 * 1024
_SAMPLE = 1_000
_SAMPLE_BYTES = 8 * 1024 * 1024


@dataclasses.dataclass
class _Frame:
    dir: directories.Dir
    at: int = 0
    pending: list[tuple[bytes, directories.Dir]] = dataclasses.field(default_factory=list)

    def is_done(self) -> bool:
        names = self.dir.names
        return names is not None and self.at >= len(names) and not self.pending


class _Opaque:
    """The nodes and listings that could not be read. Apart from the walk, so that what reads for
    the walk needs no way back to it: neither is then left to the garbage collector, which Python
    calls for a number of objects, however large they are."""

    def __init__(self) -> None:
        self.count = 0
        self.sample: list[bytes] = []
        self._bytes = 0

    def add(self, path: bytes) -> None:
        self.count += 1
        self._bytes += len(path)
        if len(self.sample) < _SAMPLE and self._bytes <= _SAMPLE_BYTES:
            self.sample.append(path)


class Walk:
    """Iterating yields `plan.Run`s in key order. Afterwards `root` is the root node or None if
    there is none; `opaque` counts the nodes and listings that could not be read, and
    `opaque_sample` names some.

    :raises errors.SessionDoubt: the session changed under way: start over.
    """

    _readers = glance.Reader

    def __init__(
        self,
        session: sessions.Session,
        shard: mapping.Mapping,
        pulse: turn.Turn,
        *,
        skip_ephemeral: bool = False,
        read_batch: int = 256,
        patience: float = 10.0,
        largest: int | None = None,
        epoch: int | None = None,
        walks: int = 1,
        seen: glance.Seen = glance.NOTHING,
    ) -> None:
        """:param largest: , `epoch` and `walks`: see `readahead.Reader`.
        :param seen: what was read on this connection a moment ago, while what changes is told of.
        """
        self._opaque = _Opaque()
        self._reader = self._readers(
            seen,
            session,
            shard,
            pulse,
            self._opaque.add,
            skip_ephemeral=skip_ephemeral,
            read_batch=read_batch,
            patience=patience,
            largest=largest,
            epoch=epoch,
            walks=walks,
        )
        self._mapping = shard
        self._key = shard.key if shard.source != shard.target else None
        self._skip_ephemeral, self._only = skip_ephemeral, shard.only
        self._run = plan.Run()
        self._run_bytes = 0
        self.nodes = 0
        self.root: tree.Node | None = None

    @property
    def opaque(self) -> int:
        return self._opaque.count

    @property
    def opaque_sample(self) -> list[bytes]:
        return self._opaque.sample

    @property
    def zxid(self) -> int:
        """The highest zxid of all replies so far."""
        return self._reader.zxid

    @property
    def largest(self) -> int:
        """The largest value so far, in bytes."""
        return self._reader.largest

    @property
    def read(self) -> int:
        """How many nodes were read so far; `nodes` of them were emitted."""
        return self.nodes + self._reader.held

    def __iter__(self) -> Iterator[plan.Run]:
        holder = self._reader.root(self._mapping.source)
        found = holder.found[0]
        if isinstance(found, tree.Node):
            self.root = found
            if self._mapping.bucket == 0:
                self.nodes = 1
                self._add(found)
            if (below := holder.subs.get(0)) is not None:
                yield from self._below(below)
        elif found is not tree.Miss.NO_NODE and self._mapping.bucket == 0:
            self._unreadable(self._mapping.source)
        elif found is not tree.Miss.NO_NODE:
            self._opaque.add(self._mapping.source)
        yield self._taken()

    def _below(self, root: directories.Dir) -> Iterator[plan.Run]:
        """Hand on what was emitted whenever it is enough, or there is nothing to add yet."""
        stack = [_Frame(root)]
        while stack:
            frame = stack[-1]
            sub = self._siblings(frame)
            if sub is not None:
                stack.append(_Frame(sub))
            elif frame.is_done():
                stack.pop()
            elif len(self._run.keys) >= _RUN or self._run_bytes >= _RUN_BYTES:
                self._reader.absorb()
                yield self._taken()
            elif self._run.keys:
                yield self._taken()
            else:
                self._reader.pump()

    def _taken(self) -> plan.Run:
        run, self._run, self._run_bytes = self._run, plan.Run(), 0
        return run

    def _siblings(self, frame: _Frame) -> directories.Dir | None:
        """Emit what is there of a directory's children, until the run is long enough; the
        subtree to go on with, if one is next."""
        directory, pending = frame.dir, frame.pending
        names = directory.names
        if names is None:
            return None
        found, all_leaves, end = directory.found, directory.leaves, len(names)
        while len(self._run.keys) < _RUN and self._run_bytes < _RUN_BYTES:
            at = frame.at
            if pending and (at == end or pending[-1][0] < names[at]):
                sub = pending.pop()[1]
                whole = sub.leaves.get(0)
                if whole is None or len(whole.paths) != len(sub.found):
                    return sub
                self._add_all(whole)
            elif at == end or found[at] is None:
                break
            elif (leaves := all_leaves.pop(at, None)) is None:
                self._add_one(frame, names[at])
            elif pending and pending[-1][0] < names[at + len(leaves.paths) - 1]:
                found[at : at + len(leaves.paths)] = leaves.nodes
            else:
                self._add_all(leaves)
                frame.at = at + len(leaves.paths)
                found[at : frame.at] = [False] * len(leaves.paths)
        return None

    def _add_all(self, leaves: directories.Leaves) -> None:
        paths, values, told, size = leaves
        if self._key is None:
            self._run.add_all(paths, None, values, told)
        else:
            self._run.add_all([*map(self._key, paths)], paths, values, told)
        self.nodes += len(paths)
        self._run_bytes += size
        self._reader.used(len(paths), size)

    def _add_one(self, frame: _Frame, name: bytes) -> None:
        directory, at = frame.dir, frame.at
        node, directory.found[at] = directory.found[at], False
        frame.at = at + 1
        self.nodes += 1
        if isinstance(node, tree.Node):
            self._add(node)
            if node.children and (sub := directory.subs.pop(at, None)) is not None:
                frame.pending.append((name + b"/", sub))
            self._reader.used(1, len(node.data))
        else:
            self._reader.used(1, 0)
            if node is not tree.Miss.NO_NODE:
                self._unreadable(name if directory.is_whole else tree.join(directory.path, name))

    def _add(self, node: tree.Node) -> None:
        if self._only is not None and not self._only(node.path):
            return
        if not (self._skip_ephemeral and tree.is_ephemeral(node)):
            key = node.path if self._key is None else self._key(node.path)
            self._run.add(key, node)
            self._run_bytes += len(node.data)

    def _unreadable(self, path: bytes) -> None:
        self._opaque.add(path)
        if self._only is None or self._only(path):
            self._run.add(self._mapping.key(path), None)
