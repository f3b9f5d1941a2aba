"""Whose values are taken for small before they were read.

Folders of one name at one depth hold the same kind of thing: `providers`, four levels down. After
so many of their values in a row that were small, the next folder of the kind is read as if their
sizes were known. A folder of many children is not: with it alone, the guess could be wrong for all
that is under way.
"""

from __future__ import annotations

from zk2etcd_workers.walk import directories

_ENOUGH = 1_000
_MANY_CHILDREN = 64
_REQUESTS = 4
"""Of the largest size: the reads of so many may be under way, of all walks together."""
_KINDS = 1_000
"""In a tree whose folders all have names of their own, none would ever be trusted."""


class Trust:
    """Of one walk. Not where `withheld`: nobody is trusted."""

    def __init__(self, *, withheld: bool, request: int = 256, walks: int = 1) -> None:
        """:param request: the most reads of one request.
        :param walks: how many read so at the same time, this one too.
        """
        self._withheld = withheld
        self._request, self._most = request, -(-_REQUESTS * request // walks)
        self.under_way = 0
        """Reads from folders that were trusted."""
        self._small: dict[tuple[int, bytes], int] = {}
        self.any = False

    def saw(self, directory: directories.Dir, small: int) -> None:
        """So many values of its children in a row, all of them small."""
        if self._withheld:
            return
        kind = _kind(directory)
        seen = self._small.get(kind, 0) + small
        if seen > small or len(self._small) < _KINDS:
            self._small[kind] = seen
            self.any = self.any or seen >= _ENOUGH

    def lose(self) -> None:
        """A large value: the tree is not what it looked like, and nobody is trusted any more."""
        self._withheld, self.any = True, False
        self._small.clear()

    @property
    def room(self) -> int:
        """How many such reads one more request may have; none rather than a few, since each request
        has its price."""
        whole, left = min(self._request, self._most), self._most - self.under_way
        return min(whole, left) if self.any and left >= -(-whole // 2) else 0

    def has(self, directory: directories.Dir) -> bool:
        """Its children are taken for small ones."""
        if not self.any or directory.expected > _MANY_CHILDREN:
            return False
        names = directory.names
        if names is None or len(names) > _MANY_CHILDREN:
            return False
        return self._small.get(_kind(directory), 0) >= _ENOUGH


def _kind(directory: directories.Dir) -> tuple[int, bytes]:
    """Its depth and its own name."""
    path = directory.path
    return path.count(b"/"), path.rpartition(b"/")[2]
