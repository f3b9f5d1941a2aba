"""Very many paths that are only ever asked for by name, in nine bytes each.

A set of the paths themselves takes some 200 bytes a node, and a mirror of a million nodes knows all
of them. Two paths of one hash of 64 bits would be taken for one: with 1,000,000 known, once in
10^13 new ones; the full sync finds such a node.
"""

from __future__ import annotations

import bisect
from array import array

_PARTS = 4096


class Hashes:
    """A set of paths, as sorted arrays of their hashes: small ones, so that adding is cheap."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]

    def add(self, path: bytes) -> bool:
        """Whether it is new."""
        mark = hash(path)
        part = self._parts[mark % _PARTS]
        at = bisect.bisect_left(part, mark)
        if at < len(part) and part[at] == mark:
            return False
        part.insert(at, mark)
        return True

    def discard(self, path: bytes) -> None:
        mark = hash(path)
        part = self._parts[mark % _PARTS]
        at = bisect.bisect_left(part, mark)
        if at < len(part) and part[at] == mark:
            del part[at]

    def __contains__(self, path: bytes) -> bool:
        mark = hash(path)
        part = self._parts[mark % _PARTS]
        at = bisect.bisect_left(part, mark)
        return at < len(part) and part[at] == mark

    def __len__(self) -> int:
        return sum(map(len, self._parts))
