"""What has to change: (wanted, present) -> writes, and keys that only etcd has. Pure.

Both sides come as streams in the byte order of the etcd keys, so nothing is held but the current
stretch of each. Deletes are not planned here: a key that only etcd has is a candidate, until
ZooKeeper has answered NoNode for its path (I2).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd_workers.model import tree


class Run:
    """Neighbours in key order, as ZooKeeper has them: `paths[i]` is to be at `keys[i]` with
    `values[i]`, and `told[i]` is what is known of it. A node that exists but cannot be read has
    None there and for a value: its key is kept as it is.

    Columns rather than rows: the two sides are mostly equal, and columns are compared and handed
    on without a line of Python for each node.
    """

    __slots__ = ("keys", "paths", "told", "values")

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.paths = self.keys
        """The same list, as long as they are the same."""
        self.values: list[bytes | None] = []
        self.told: list[tree.Told] = []

    @property
    def nodes(self) -> tree.Nodes:
        """Each as a whole."""
        return tree.Nodes(self.paths, self.values, self.told)

    def add(self, key: bytes, node: tree.Node | None) -> None:
        path, data = (key, None) if node is None else (node.path, node.data)
        if self.paths is not self.keys:
            self.paths.append(path)
        elif path != key:
            self.paths = [*self.keys, path]
        self.keys.append(key)
        self.values.append(data)
        self.told.append(node)

    def add_all(
        self,
        keys: Sequence[bytes],
        paths: Sequence[bytes] | None,
        values: Sequence[bytes | None],
        told: Sequence[tree.Told],
    ) -> None:
        """:param paths: None if they are the keys."""
        if paths is not None and self.paths is self.keys:
            self.paths = self.keys.copy()
        if self.paths is not self.keys:
            self.paths += paths or keys
        self.keys += keys
        self.values += values
        self.told += told


class Held(NamedTuple):
    """Neighbours in key order, as etcd has them."""

    keys: Sequence[bytes]
    values: Sequence[bytes]


class Write(NamedTuple):
    """One change to one key. `value` None deletes it. `mtime` in milliseconds since 1970, 0 when
    there is none to report. `expect`: only if the key's mod_revision is still this (0: absent);
    None in a stream that is the only writer. `batch`: the number of the read that it comes of.
    `born`: the czxid of a node whose key a walk found missing in etcd, else 0.
    `zxid` is the node's mzxid, beside its `czxid`; of a delete, one at or before the state in which
    there was no node, or 0."""

    key: bytes
    value: bytes | None
    path: bytes
    zxid: int
    mtime: int = 0
    expect: int | None = None
    batch: int = 0
    born: int = 0
    czxid: int = 0


def put(
    key: bytes,
    node: tree.Node,
    *,
    mtime: int = 0,
    expect: int | None = None,
    batch: int = 0,
    born: int = 0,
) -> Write:
    """The write that makes `key` what `node` is."""
    zxid = max(node.czxid, node.mzxid)
    return Write(key, node.data, node.path, zxid, mtime, expect, batch, born, node.czxid)


class Extra(NamedTuple):
    """A key that ZooKeeper's walk did not show."""

    key: bytes


_NOTHING = Held((), ())


class Counts:
    """Counted while a merge runs: keys wanted (readable or not), and keys present."""

    def __init__(self) -> None:
        self.wanted = 0
        self.present = 0
        self.extra = 0
        """Keys that only etcd has, whosever."""


Differences = Iterator[list[Write] | Extra]
"""In key order, writes between which etcd has nothing else together: of a first sync they are all
there is, and a line of Python for each would be a third of a worker's time."""


def merge(wanted: Iterable[Run], present: Iterable[Held], counts: Counts) -> Differences:
    """The differences. Both sides must be strictly ascending by key."""
    pages, page, there = iter(present), Held((), ()), 0
    for run in wanted:
        counts.wanted += len(run.keys)
        at = 0
        while at < len(run.keys):
            if there == len(page.keys):
                page, there = next(pages, _NOTHING), 0
                counts.present += len(page.keys)
            if page is _NOTHING:
                if writes := _writes(run, at):
                    yield writes
                break
            same = _equal(run, at, page, there)
            if same:
                at, there = at + same, there + same
            else:
                at, there = yield from _differences(run, at, page, there, counts)
    yield from _extras(page.keys[there:], counts)
    for page in pages:
        counts.present += len(page.keys)
        yield from _extras(page.keys, counts)


def _extras(keys: Sequence[bytes], counts: Counts) -> Iterator[Extra]:
    counts.extra += len(keys)
    return map(Extra, keys)


def _equal(run: Run, at: int, page: Held, there: int) -> int:
    """How many elements are left on both sides, if they are all equal; else 0."""
    size = min(len(run.keys) - at, len(page.keys) - there)
    ours, theirs = slice(at, at + size), slice(there, there + size)
    if not _are_same(run.keys[ours], page.keys[theirs]):
        return 0
    return size if _are_same(run.values[ours], page.values[theirs]) else 0


def _are_same(ours: Sequence[bytes | None], theirs: Sequence[bytes]) -> bool:
    """Mostly they are lists, and are compared without a copy."""
    return ours == theirs if type(ours) is type(theirs) else list(ours) == list(theirs)


def _differences(
    run: Run, at: int, page: Held, there: int, counts: Counts
) -> Generator[list[Write] | Extra, None, tuple[int, int]]:
    """The differences from these places on, until one side is used up: the places reached."""
    ours, theirs = run.keys, page.keys
    writes: list[Write] = []
    while at < len(ours) and there < len(theirs):
        if theirs[there] < ours[at]:
            if writes:
                yield writes
                writes = []
            yield from _extras([theirs[there]], counts)
            there += 1
            continue
        found = theirs[there] == ours[at]
        value, told = run.values[at], run.told[at]
        if told is not None and not (found and page.values[there] == value):
            node = tree.node(run.paths[at], value, told)
            writes.append(put(ours[at], node, born=0 if found else node.czxid))
        at, there = at + 1, there + found
    if writes:
        yield writes
    return at, there


def _writes(run: Run, at: int) -> list[Write]:
    """`put` of all that is left of it, spelled out: so it costs half."""
    new, made, part = tuple.__new__, Write, slice(at, None)
    columns = run.keys[part], run.paths[part], run.values[part], run.nodes[part].zxids()
    return [
        new(made, (key, value, path, max(czxid, mzxid), 0, None, 0, czxid, czxid))
        for key, path, value, (czxid, mzxid) in zip(*columns, strict=True)
        if value is not None
    ]
