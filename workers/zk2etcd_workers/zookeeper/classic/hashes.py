"""Very many paths that are only ever asked for by name, in nine bytes each.

A set of the paths themselves takes some 200 bytes a node, and a mirror of a million nodes knows all
of them. Two paths of one hash of 64 bits would be taken for one: with 1,000,000 known, once in
10^13 new ones; the full sync finds such a node.
"""

from __future__ import annotations

import bisect
import itertools
import operator
import threading
from array import array
from collections.abc import Iterable, Sequence

_PARTS = 4096


class Hashes:
    """A set of paths, as sorted arrays of their hashes: small ones, so that adding is cheap. From
    any thread."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]
        self._lock = threading.Lock()

    def add(self, path: bytes) -> bool:
        """Whether it is new."""
        return bool(self.add_all((path,)))

    def add_all(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those of them that are new."""
        find, new = bisect.bisect_left, []
        with self._lock:
            parts = self._parts
            for path in paths:
                mark = hash(path)
                part = parts[mark % _PARTS]
                at = find(part, mark)
                if at == len(part) or part[at] != mark:
                    part.insert(at, mark)
                    new.append(path)
        return new

    def merge(self, groups: Sequence[array[int]]) -> None:
        """Add very many at once, `grouped`."""
        with self._lock:
            for at, group in enumerate(groups):
                if group:
                    part = self._parts[at]
                    both = array("q", sorted({*part, *group})) if part else group[:]
                    self._parts[at] = both

    def discard(self, path: bytes) -> None:
        mark = hash(path)
        with self._lock:
            part = self._parts[mark % _PARTS]
            at = bisect.bisect_left(part, mark)
            if at < len(part) and part[at] == mark:
                del part[at]

    def subtract(self, other: Hashes) -> None:
        """Take out all that is in another set."""
        with self._lock:
            for at, gone in enumerate(other._parts):
                if gone and (part := self._parts[at]):
                    self._parts[at] = array("q", sorted(set(part).difference(gone)))

    def __contains__(self, path: bytes) -> bool:
        mark = hash(path)
        with self._lock:
            part = self._parts[mark % _PARTS]
            at = bisect.bisect_left(part, mark)
            return at < len(part) and part[at] == mark

    def __len__(self) -> int:
        return sum(map(len, self._parts))


def grouped(marks: Iterable[int]) -> Sequence[array[int]]:
    """The hashes of paths, as `merge` wants them: which lie together in a set, and in order."""
    groups: list[list[int]] = [[] for _ in range(_PARTS)]
    for mark in marks:
        groups[mark % _PARTS].append(mark)
    return [array("q", _once(sorted(group))) for group in groups]


def _once(ordered: list[int]) -> list[int]:
    """A set of all of them would take some 100 bytes each; and hardly ever is one there twice."""
    if any(map(operator.eq, ordered, itertools.islice(ordered, 1, None))):
        return sorted(set(ordered))
    return ordered
