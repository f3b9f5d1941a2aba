"""A stretch of what etcd has, as ZooKeeper has it: what is there, and which folders may have more.

A folder's count of children is right if as many of those that etcd has are there, none of them
younger than the state in which they were counted: they were there then, so they are all.
"""

from __future__ import annotations

import bisect
import collections
import dataclasses
from collections.abc import Iterator, Sequence

from zk2etcd_workers.model import tree
from zk2etcd_workers.walk import directories

_CZXID = slice(0, 8)
LAST = b"/\xff"
"""What comes behind a path and sorts behind all that is below it."""


@dataclasses.dataclass(frozen=True)
class Part:
    """The places [at, end) of a reply. `zxids`: the state in which it was read is not older than
    the first, nor younger than the second."""

    zxids: tuple[int, int]
    found: directories.Columns
    at: int
    end: int


class Window(directories.Dir):
    """A directory of whole paths, which may be in many. `parts` are what was read, by the place of
    the first."""

    __slots__ = ("parts", "taken")

    def __init__(self, paths: Sequence[bytes]) -> None:
        super().__init__(paths[0], len(paths), is_whole=True)
        self.names = paths
        self.parts: dict[int, Part] = {}
        self.taken = 0

    def saw(self, start: int, part: Part) -> None:
        """What is there from the place `start` on."""
        self.parts[start] = part

    @property
    def is_read(self) -> bool:
        """All that was not taken yet is there."""
        return self._next == len(self.names or ())

    @property
    def has_some(self) -> bool:
        """The next that was not taken yet is there."""
        return self.taken in self.parts

    @property
    def _next(self) -> int:
        """Up to which place all is there."""
        place = self.taken
        while (part := self.parts.get(place)) is not None:
            place += part.end - part.at
        return place

    def take(self) -> Stretch:
        """What is there from the first place on that was not taken yet."""
        stretch = Stretch()
        while (part := self.parts.pop(self.taken, None)) is not None:
            stretch.add(part)
            self.taken += part.end - part.at
        return stretch


class Stretch:
    """What was read of a window, in columns as `plan.Run`'s; `read` nodes of `size` bytes. What is
    not there is left out."""

    def __init__(self) -> None:
        self.paths: list[bytes] = []
        self.values: list[bytes | None] = []
        self.told: list[tree.Told] = []
        self.read = self.size = 0
        self.last = b""
        """The last path that was asked for."""
        self.folders: list[tuple[bytes, int]] = []
        """Those of them that have children, and how many."""
        self._zxids: tuple[int, int] | None = None

    def add(self, part: Part) -> None:
        rows, at, end = part.found.rows, part.at, part.end
        first, last = self._zxids or part.zxids
        self._zxids = min(first, part.zxids[0]), max(last, part.zxids[1])
        self.last = rows.paths[end - 1]
        self.read += end - at
        self.size += part.found.bytes(at, end)
        places: Sequence[int] = range(at, end)
        if rows.others:
            places = [place for place in places if rows.others.get(place) is not tree.Miss.NO_NODE]
            self.paths += map(rows.paths.__getitem__, places)
            self.told += map(rows.told.__getitem__, places)
            values = (None if place in rows.others else rows.values[place] for place in places)
            self.values += values
        else:
            self.paths += rows.paths[at:end]
            self.values += rows.values[at:end]
            self.told += rows.told[at:end]
        if any(children := rows.children[at:end]):
            folders = zip(rows.paths[at:end], children, strict=True)
            self.folders += [(path, count) for path, count in folders if count]

    def doubtful(self) -> Iterator[tuple[bytes, int]]:
        """Those that are to be listed, and their counts of children: what etcd has below them is
        not what is there, or may go on behind this stretch."""
        if not self.folders:
            return
        known = self._counted()
        for path, count in self.folders:
            if known.get(path, 0) != count or path + LAST > self.last:
                yield path, count

    def _counted(self) -> dict[bytes, int]:
        """How many children each folder has here, of those that were there when it was read."""
        paths: Sequence[bytes] = self.paths
        first, last = self._zxids or (0, 0)
        if first < last and self._has_younger(first):
            found = zip(self.paths, self.told, strict=True)
            paths = [path for path, told in found if 0 < _created(told) <= first]
        return collections.Counter([path.rpartition(b"/")[0] for path in paths])

    def _has_younger(self, zxid: int) -> bool:
        """Whether any of them may have been made after that."""
        stats = [told[_CZXID] for told in self.told if type(told) is bytes]
        return len(stats) < len(self.told) or int.from_bytes(max(stats, default=b"")) > zxid


def _created(told: tree.Told) -> int:
    """Its czxid; 0 of what may not be read, and of what was always there."""
    if type(told) is bytes:
        return int.from_bytes(told[_CZXID])
    return told.czxid if isinstance(told, tree.Node) else 0


class Open:
    """A folder that was listed. `at`: its first name that was not looked at."""

    def __init__(self, directory: directories.Dir) -> None:
        self.directory = directory
        self._at = 0

    def lacks(self, there: set[bytes], last: bytes | None) -> list[bytes]:
        """The paths of those of its children, up to the path `last`, that are not `there`. Each is
        looked at once. None: all that are left."""
        path, names = self.directory.path, self.directory.names or ()
        start, end = self._at, len(names)
        if last is not None:
            base = path + b"/"
            if last.startswith(base):
                end = bisect.bisect_right(names, last[len(base) :])
            elif last < base:
                end = start
        self._at = end
        found = [tree.join(path, name) for name in names[start:end]]
        return [child for child in found if child not in there]

    def is_passed(self, last: bytes) -> bool:
        """All that is below it comes before this path."""
        return self.directory.path + LAST <= last


def uppermost(paths: set[bytes]) -> list[bytes]:
    """Those that are not below another of them, in order."""
    return sorted(path for path in paths if not any(above in paths for above in _above(path)))


def _above(path: bytes) -> Iterator[bytes]:
    while path := path.rpartition(b"/")[0]:
        yield path
