"""Whose values are taken for small before they were read.

Folders of one name at one depth hold the same kind of thing: `providers`, four levels down. After
so many of their values in a row that were small, the next folder of the kind is read as if their
sizes were known. A folder of many children is not: with it alone, the guess could be wrong for all
that is under way. Nor are those next to each other, each with a name of its own: where one of them
holds large values, so do those behind it, which would be under way by then.
"""

from __future__ import annotations

import collections

from zk2etcd_workers.walk import directories

_ENOUGH = 1_000
_MANY_CHILDREN = 64
_REQUESTS = 4
"""Of the largest size: the reads of so many may be under way, of all walks together."""
_KINDS = 1_000
"""That are counted, those that were seen last: of most, in a tree of folders with names of their
own, there is but one folder."""

_Kind = tuple[int, bytes]
"""Folders of one name, at a depth."""


class Trust:
    """Of one walk. Not where `withheld`: nobody is trusted."""

    def __init__(self, *, withheld: bool, request: int = 256, walks: int = 1) -> None:
        """:param request: the most reads of one request.
        :param walks: how many read so at the same time, this one too.
        """
        self._withheld = withheld
        self._request, self._most = request, -(-_REQUESTS * request // walks)
        self.row = 0
        """Values in a row that were small, so far."""
        self.under_way = 0
        """Reads from folders that were trusted."""
        self._small = collections.OrderedDict[_Kind, int]()
        self._trusted: set[_Kind] = set()

    @property
    def any(self) -> bool:
        """Some are trusted by now."""
        return bool(self._trusted)

    def saw(self, directory: directories.Dir, small: int) -> None:
        """So many values of its children in a row, all of them small."""
        if self._withheld or directory.is_trusted:
            return
        kind = _kind(directory)
        seen = self._small.pop(kind, 0) + small
        if seen >= _ENOUGH and len(self._trusted) < _KINDS:
            self._trusted.add(kind)
            return
        self._small[kind] = seen
        if len(self._small) > _KINDS:
            self._small.popitem(last=False)

    def lose(self) -> None:
        """A large value: the tree is not what it looked like, and nobody is trusted any more."""
        self._withheld, self.row = True, 0
        self._trusted.clear()
        self._small.clear()

    @property
    def room(self) -> int:
        """How many such reads one more request may have; none rather than a few, since each request
        has its price."""
        whole, left = min(self._request, self._most), self._most - self.under_way
        return min(whole, left) if self._trusted and left >= -(-whole // 2) else 0

    def has(self, directory: directories.Dir) -> bool:
        """Its children are taken for small ones."""
        if not self._trusted:
            return False
        if not directory.is_trusted:
            names = directory.names
            if names is None or max(directory.expected, len(names)) > _MANY_CHILDREN:
                return False
            directory.is_trusted = _kind(directory) in self._trusted
        return directory.is_trusted


def _kind(directory: directories.Dir) -> _Kind:
    above, _, name = directory.path.rpartition(b"/")
    return above.count(b"/"), name
