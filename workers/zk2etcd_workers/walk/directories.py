"""What was read ahead of a walk: directories, what is there of their children, and which of them
are to be read next."""

from __future__ import annotations

import heapq
import itertools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from zk2etcd_workers.model import pacing, tree


class Leaves(NamedTuple):
    """Neighbours that are all readable, wanted and without children, in columns, so that they
    cost no line of Python each."""

    paths: Sequence[bytes]
    values: Sequence[bytes]
    nodes: Sequence[tree.Node]
    size: int
    """Bytes of all values."""


class Dir:
    """A node with children. `found[i]` is what was read of `names[i]`: None not yet, False when
    it has been used. `subs` are those with children, by place; `leaves` by the place of the first.
    `is_trusted` is `trust`'s.
    """

    __slots__ = ("expected", "found", "is_trusted", "leaves", "names", "path", "read", "subs")

    def __init__(self, path: bytes, expected: int) -> None:
        self.path = path
        self.expected = expected
        self.names: Sequence[bytes] | None = None
        self.found: list[tree.Node | tree.Miss | bool | None] = []
        self.subs: dict[int, Dir] = {}
        self.leaves: dict[int, Leaves] = {}
        self.read = 0
        self.is_trusted = False


class Columns:
    """The nodes of one reply, by column. `are_all`: it misses none that was asked for."""

    def __init__(self, results: Sequence[tree.Result]) -> None:
        kinds = list(map(type, results))
        nodes, listings = kinds.count(tree.Node), sum(map(kinds.count, tree.LISTINGS))
        self.nodes = (
            cast("Sequence[tree.Node]", results)
            if nodes == len(results)
            else [found for found in results if type(found) is tree.Node]
        )
        self.are_all = nodes + listings == len(results)
        columns: Sequence[Sequence[Any]] = [()] * len(tree.Node._fields)
        if self.nodes:
            columns = list(zip(*self.nodes, strict=True))
        self.paths, self.values, _, _, _, self.owners, self.children, *_ = columns
        self._sizes = list(map(len, self.values))
        self.size = sum(self._sizes)
        self.largest = max(self._sizes, default=0)

    def leaves(self, start: int, end: int) -> Leaves:
        return Leaves(
            self.paths[start:end],
            self.values[start:end],
            self.nodes[start:end],
            sum(self._sizes[start:end]),
        )


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
