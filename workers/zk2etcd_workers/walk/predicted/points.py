"""Where etcd's pages end. A page costs etcd all keys of the range that it is asked for, whatever
its limit, and only ZooKeeper tells which come next: so some of its folders are listed first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from zk2etcd_workers.model import tree
from zk2etcd_workers.walk import directories
from zk2etcd_workers.walk.predicted import reader, window

WANTED = 3_600
"""Keys that a page should have: fewer than `etcd_keys` asks for at most, since they are guessed."""
_FINER = 2
"""There should be so many places for each page."""
_DEEPEST = 8
_SLASH = b"/"[0]


class Points:
    """The names in some folders, in order; at most one of two folders is above the other, and that
    one is not among them. A page ends behind all that is below one of these names."""

    def __init__(
        self, folders: Sequence[directories.Dir], root: directories.Dir, keys: int
    ) -> None:
        """:param root: behind its last name, a page ends in any case.
        :param keys: how many etcd has, about.
        """
        self._root = root
        self._folders = sorted(folders, key=lambda each: tree.join(each.path, b""))
        self._each = keys / max(1, sum(len(each.names or ()) for each in folders))

    def learn(self, keys: int, names: int) -> None:
        """There were so many keys at and below so many names."""
        self._each = (self._each + keys / max(1, names)) / 2

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """The last path of each page, and how many names it goes over; what is in etcd behind all
        that ZooKeeper has is on none."""
        passed = 0
        for folder in self._folders:
            names, at = folder.names or (), 0
            while at < len(names):
                taken = max(1, int(WANTED / max(self._each, 1e-6)) - passed)
                if at + taken > len(names):
                    passed += len(names) - at
                    break
                at += taken
                yield tree.join(folder.path, names[at - 1]) + window.LAST, passed + taken
                passed = 0
        if of_root := self._root.names:
            yield tree.join(self._root.path, _outermost(of_root[-1])) + window.LAST, passed


def _outermost(name: bytes) -> bytes:
    """What is below `b` comes behind `b-c` and all below that: so the shortest beginning of the
    last name that may be a name whose subtree comes behind it; mostly the name itself."""
    return next((name[:at] for at, byte in enumerate(name) if at and byte < _SLASH), name)


def folders(
    asked: reader.Reader, root: directories.Dir, keys: int
) -> tuple[Sequence[directories.Dir], Sequence[directories.Dir]]:
    """Folders with enough names for `Points`, none above another; and all that were listed."""
    listed, level = [root], [root]
    asked.wait_for(level)
    for _ in range(_DEEPEST):
        names = sum(len(each.names or ()) for each in level)
        if names * WANTED >= keys * _FINER:
            break
        below = [
            tree.join(each.path, name)
            for each in sorted(level, key=lambda each: each.path)
            for name in each.names or ()
        ]
        deeper = [asked.list(*each) for each in asked.folders(sorted(below))]
        if not deeper:
            break
        asked.wait_for(deeper)
        listed += deeper
        level = deeper
    return level, listed
