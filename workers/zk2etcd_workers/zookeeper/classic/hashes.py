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


class Gathered:
    """Hashes of very many paths, which are to go into sets. What that costs, some 0.1 s for 100,000
    of them, is paid when one of these sets is asked next, by whoever asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._marks = array("q")
        self._groups: Sequence[array[int]] | None = None

    def add(self, paths: Iterable[bytes]) -> None:
        """Not any more once a set has been given it."""
        self._marks.extend(map(hash, paths))

    def groups(self) -> Sequence[array[int]]:
        """Which lie together in a set, and in order."""
        with self._lock:
            if self._groups is None:
                self._groups = _grouped(self._marks)
                self._marks = array("q")
            return self._groups


class Hashes:
    """A set of paths, as sorted arrays of their hashes: small ones, so that adding is cheap. From
    any thread."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]
        self._later: list[Gathered] = []
        self._lock = threading.Lock()

    def add(self, path: bytes) -> bool:
        """Whether it is new."""
        return bool(self.add_all((path,)))

    def add_all(self, paths: Iterable[bytes]) -> list[bytes]:
        """Those of them that are new."""
        find, new = bisect.bisect_left, []
        with self._lock:
            self._settle()
            parts = self._parts
            for path in paths:
                mark = hash(path)
                part = parts[mark % _PARTS]
                at = find(part, mark)
                if at == len(part) or part[at] != mark:
                    part.insert(at, mark)
                    new.append(path)
        return new

    def merge(self, gathered: Gathered) -> None:
        """Add very many at once."""
        with self._lock:
            self._later.append(gathered)

    def _settle(self) -> None:
        """Add what was to be added. With the lock."""
        while self._later:
            for at, group in enumerate(self._later.pop().groups()):
                if group:
                    part = self._parts[at]
                    both = array("q", sorted({*part, *group})) if part else group[:]
                    self._parts[at] = both

    def discard(self, path: bytes) -> None:
        mark = hash(path)
        with self._lock:
            self._settle()
            part = self._parts[mark % _PARTS]
            at = bisect.bisect_left(part, mark)
            if at < len(part) and part[at] == mark:
                del part[at]

    def subtract(self, other: Hashes) -> None:
        """Take out all that is in another set, which nobody changes any more."""
        with self._lock:
            self._settle()
            for at, gone in enumerate(other._parts):
                if gone and (part := self._parts[at]):
                    self._parts[at] = array("q", sorted(set(part).difference(gone)))

    def __contains__(self, path: bytes) -> bool:
        mark = hash(path)
        with self._lock:
            self._settle()
            part = self._parts[mark % _PARTS]
            at = bisect.bisect_left(part, mark)
            return at < len(part) and part[at] == mark

    def __len__(self) -> int:
        with self._lock:
            self._settle()
            return sum(map(len, self._parts))


def _grouped(marks: Iterable[int]) -> Sequence[array[int]]:
    groups: list[list[int]] = [[] for _ in range(_PARTS)]
    for mark in marks:
        groups[mark % _PARTS].append(mark)
    return [array("q", _once(sorted(group))) for group in groups]


def _once(ordered: list[int]) -> list[int]:
    """A set of all of them would take some 100 bytes each; and hardly ever is one there twice."""
    if any(map(operator.eq, ordered, itertools.islice(ordered, 1, None))):
        return sorted(set(ordered))
    return ordered
