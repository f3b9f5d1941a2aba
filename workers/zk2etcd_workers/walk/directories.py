"""What was read ahead of a walk: directories, and what is there of their children."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

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
    """

    __slots__ = ("expected", "found", "leaves", "names", "path", "read", "subs")

    def __init__(self, path: bytes, expected: int) -> None:
        self.path = path
        self.expected = expected
        self.names: Sequence[bytes] | None = None
        self.found: list[tree.Node | tree.Miss | bool | None] = []
        self.subs: dict[int, Dir] = {}
        self.leaves: dict[int, Leaves] = {}
        self.read = 0


class Columns:
    """The nodes of one reply, by column. `are_all`: it misses none that was asked for."""

    def __init__(self, results: Sequence[tree.Result]) -> None:
        self.nodes = [found for found in results if type(found) is tree.Node]
        listings = sum(1 for found in results if type(found) in tree.LISTINGS)
        self.are_all = len(self.nodes) + listings == len(results)
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


def size(results: Sequence[tree.Result]) -> int:
    """Bytes of a reply, about."""
    found = 0
    for each in results:
        if type(each) is tree.Node:
            found += len(each.data) + pacing.STAT_BYTES
        elif not isinstance(each, tree.Miss):
            found += len(each) * pacing.NAME_BYTES
    return found
