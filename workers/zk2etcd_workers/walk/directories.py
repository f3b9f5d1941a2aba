"""What was read ahead of a walk: directories, what is there of their children, and which of them
are to be read next."""

from __future__ import annotations

import heapq
import itertools
import operator
from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd_workers.model import pacing, tree


class Leaves(NamedTuple):
    """Neighbours that are all readable, wanted and without children, in columns, so that they
    cost no line of Python each."""

    paths: Sequence[bytes]
    values: Sequence[bytes]
    told: Sequence[tree.Told]
    size: int
    """Bytes of all values."""

    @property
    def nodes(self) -> tree.Nodes:
        return tree.Nodes(*self[:3])


class Dir:
    """A node with children. `found[i]` is what was read of `names[i]`: None not yet, True when it
    is in `leaves`, False when it has been used. `subs` are those with children, by place; `leaves`
    by the place of the first. `is_trusted` is `trust`'s. `is_whole`: its names are whole paths;
    `is_list`: they are all that is wanted of it.
    """

    __slots__ = (
        *("expected", "found", "is_list", "is_trusted", "is_whole"),
        *("leaves", "names", "path", "read", "subs"),
    )

    def __init__(self, path: bytes, expected: int, *, is_whole: bool = False) -> None:
        self.path = path
        self.expected = expected
        self.is_whole, self.is_list = is_whole, False
        self.names: Sequence[bytes] | None = None
        self.found: list[tree.Node | tree.Miss | bool | None] = []
        self.subs: dict[int, Dir] = {}
        self.leaves: dict[int, Leaves] = {}
        self.read = 0
        self.is_trusted = False


class Columns:
    """The nodes of one reply. `are_all`: it misses none that was asked for."""

    def __init__(self, ops: Sequence[tuple[int, bytes]], results: Sequence[tree.Result]) -> None:
        """:param ops: what was read, each path behind its kind."""
        if not isinstance(results, tree.Rows):
            results = tree.Rows.of([path for _, path in ops], results)
        self.rows = rows = results
        others = rows.others.values()
        self.nodes = len(rows.values) - len(others)
        self.are_all = all(isinstance(other, tree.LISTINGS) for other in others)
        self._sizes = list(map(len, rows.values))
        self.size = sum(self._sizes)
        self.largest = max(self._sizes, default=0)

    def bytes(self, start: int, end: int) -> int:
        """Of these values."""
        return sum(self._sizes[start:end])

    def leaves(self, start: int, end: int) -> Leaves:
        rows, part = self.rows, slice(start, end)
        size = self.bytes(start, end)
        return Leaves(rows.paths[part], rows.values[part], rows.told[part], size)


Place = tuple[bytes, Dir]
"""A directory, and the key from which on something of it is to be read."""

_KEY = operator.itemgetter(0)


class Frontier:
    """Directories that are to be listed, or whose children are to be read. The one reply of a
    server brings hundreds of them, nearly in order: so they are kept as they came, each reply's by
    themselves, and what is compared at each step is the first of each."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        # The key of the next one; which of two comes first, if they were equal; the rest, the
        # next one last.
        self._runs: list[tuple[bytes, int, list[Place]]] = []

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def first(self) -> Dir:
        """The one that a walk comes to next."""
        return self._runs[0][2][-1][1]

    def add(self, places: list[Place]) -> None:
        """Of one reply; the list is the frontier's from now on."""
        if places:
            places.sort(key=_KEY, reverse=True)
            heapq.heappush(self._runs, (places[-1][0], next(self._numbers), places))

    def pop(self) -> None:
        """Nothing of the first one is to be read any more, as far as is known."""
        _, number, places = self._runs[0]
        places.pop()
        if places:
            heapq.heapreplace(self._runs, (places[-1][0], number, places))
        else:
            heapq.heappop(self._runs)


def size(results: Sequence[tree.Result]) -> int:
    """Bytes of a reply, about."""
    found = 0
    for each in results:
        if type(each) is tree.Node:
            found += len(each.data) + pacing.STAT_BYTES
        elif not isinstance(each, tree.Miss):
            found += len(each) * pacing.NAME_BYTES
    return found


def fitting(paths: Sequence[bytes], most: int, *, first: bool) -> tuple[Sequence[bytes], int]:
    """Those of these whose reads come to at most so many bytes of a request, and how many those
    are. `first`: nothing else is in it, so the first of all always fits."""
    size = sum(map(len, paths)) + len(paths) * pacing.OP_BYTES
    if size <= most:
        return paths, size
    size = 0
    for count, path in enumerate(paths):
        size += len(path) + pacing.OP_BYTES
        if size > most and not (first and count == 0):
            return paths[:count], size - len(path) - pacing.OP_BYTES
    return paths, size
