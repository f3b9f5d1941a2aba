"""What is watched over one connection to a server without recursive watches, and what its events
and listings say.

- a node that is there has a watch on its value, set by the read, and one on its children; a leaf's
  is armed with many others (`arming`). A true ephemeral has no children, and needs none;
- a root that is not there has one on its coming into being;
- after an event its path is dirty, and the read that follows sets the watch again;
- an event "children changed" does not make the node dirty, whose value is the same: it is listed
  again, and every child that is not known yet is dirty, as if a recursive watch had told of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper.classic import hashes

_LONG = 1000
_REST = 9
"""Times as long as a long listing took to look through, until the next one: 100,000 names take a
tenth of a second, in which this process does nothing else."""

CREATED, DELETED, CHILDREN_CHANGED = 1, 2, 4

Event = Callable[[int, bytes], None]


class Watches:
    """Used in the connection's thread, but for `due`."""

    def __init__(self) -> None:
        self.known = hashes.Hashes()
        """Nodes that are there, or were told of: a child that is not among them is new."""
        self._armed = hashes.Hashes()
        """Nodes whose children are watched, or about to be."""
        self._long: set[bytes] = set()
        self._changed: set[bytes] = set()
        """Nodes whose children changed, and that are being listed again."""
        self._later: set[bytes] = set()
        self._rests_until = 0.0
        self._denied: dict[bytes, set[bytes]] = {}
        """Parent -> children that may not be read: only the parent's listing tells of their end."""

    def fired(self, kind: int, path: bytes) -> None:
        if kind == CHILDREN_CHANGED:
            self._changed.add(path)
        elif kind == DELETED:
            self.gone(path)

    def may_list(self, path: bytes) -> bool:
        """Whether to list a changed node now. A long listing is `due` a little later: made for each
        of a thousand changes, it would keep the server busy, and us."""
        if path not in self._long:
            return True
        self._later.add(path)
        return False

    def due(self, now: float) -> list[bytes]:
        """The nodes that were to be listed later; an event from now on adds them again. None while
        the last such listing costs us enough; `now` is monotonic."""
        if now < self._rests_until:
            return []
        paths = list(self._later)
        self._later.difference_update(paths)
        return paths

    # --- what reads say ----------------------------------------------------------------------

    def is_armed(self, path: bytes) -> bool:
        """Its children are watched, and no event has used that up."""
        return path in self._armed and path not in self._changed

    def arm(self, path: bytes) -> bool:
        """Its children are about to be watched: whether that is news."""
        return self._armed.add(path) or path in self._changed

    def listed(self, path: bytes, names: Sequence[bytes], event: Event, *, again: bool) -> None:
        """A listing is there, which watches as well.

        :param again: somebody wants to hear of what is new in it; as after an event.
        """
        started = time.monotonic()
        self._armed.add(path)
        if again or path in self._changed:
            self._changed.discard(path)
            self._compare(path, names, event)
        if len(names) > _LONG:
            self._long.add(path)
            now = time.monotonic()
            self._rests_until = now + _REST * (now - started)
        else:
            self._long.discard(path)

    def unlisted(self, path: bytes) -> None:
        """It could not be listed: it is gone, or may not be."""
        self._armed.discard(path)
        self._long.discard(path)
        self._changed.discard(path)

    def gone(self, path: bytes) -> None:
        self.known.discard(path)
        self.unlisted(path)

    def deny(self, path: bytes) -> None:
        self.known.discard(path)
        self._denied.setdefault(_parent(path), set()).add(path)

    def allow(self, path: bytes) -> None:
        self.known.add(path)
        if self._denied and (parent := _parent(path)) in self._denied:
            self._denied[parent].discard(path)

    def _compare(self, path: bytes, names: Sequence[bytes], event: Event) -> None:
        """Tell of the children that are new, once, and of the denied that ended."""
        new = self.known.add
        base = path if path != tree.ROOT else b""
        for name in names:
            child = base + b"/" + name
            if new(child):
                event(CREATED, child)
        if path in self._denied:
            there = {base + b"/" + name for name in names}
            for child in self._denied.pop(path) - there:
                event(DELETED, child)


def _parent(path: bytes) -> bytes:
    return path[: path.rfind(b"/")] or tree.ROOT
