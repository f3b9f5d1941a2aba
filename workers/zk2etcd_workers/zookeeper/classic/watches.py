"""What is watched over one connection to a server without recursive watches, and what its events
and listings say.

- a node that is there has a watch on its value, set by the read, and one on its children; a leaf's
  is armed with many others (`arming`). A true ephemeral has no children, and needs none;
- a root that is not there has one on its coming into being;
- after an event its path is dirty, and the read that follows sets the watch again;
- an event "children changed" does not make the node dirty, whose value is the same: it is listed
  again, and every child that is not known yet is dirty, as if a recursive watch had told of it;
- while a tree that is known is being watched again, over a new connection, such listings wait until
  all of it is known here, and every child that was not named is told of, whoever has read it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.zookeeper.classic import hashes

_LONG = 1000
_REST = 9
"""Times as long as a long listing took to look through, until the next one: 100,000 names take a
tenth of a second, in which this process does nothing else."""

CREATED, DELETED, CHILDREN_CHANGED = 1, 2, 4

Event = Callable[[int, bytes], None]


class Lists(NamedTuple):
    """How many changes of lists of children were heard of until now, and how many of them, from the
    first on, are certainly `told` of."""

    changes: int
    told: int


NOTHING_TOLD = Lists(1, 0)


class Watches:
    """Used in the connection's thread, but for `due`, and what a resumption asks."""

    def __init__(self) -> None:
        self.known = hashes.Hashes()
        """Nodes that are there, or were told of: a child that is not among them is new."""
        self._told = hashes.Hashes()
        """What listings have told of, which may not have been read since, and so not be watched."""
        self._armed = hashes.Hashes()
        """Nodes whose children are watched, or about to be."""
        self._long: set[bytes] = set()
        self._changes = 0
        self._changed: dict[bytes, int] = {}
        """Nodes whose children changed, which are being listed again -> which change that was."""
        self._later: set[bytes] = set()
        self._rests_until = 0.0
        self._waiting: set[bytes] = set()
        """Roots below which no listing may begin."""
        self._ended: set[bytes] = set()
        """What has gone meanwhile."""
        self._named: dict[bytes, hashes.Hashes] = {}
        """Roots of which that is being asked -> all that was named."""
        self._denied: dict[bytes, set[bytes]] = {}
        """Parent -> children that may not be read: only the parent's listing tells of their end."""

    def fired(self, kind: int, path: bytes) -> None:
        if kind == CHILDREN_CHANGED:
            self._changes += 1
            self._changed.setdefault(path, self._changes)
        elif kind == DELETED:
            self.gone(path)
        else:  # Until it is read again nothing tells of its end.
            self.known.discard(path)

    def begins(self) -> None:
        """A shard is about to look at its tree, for the first time or again. What it was told of,
        or another one that is gone, may never have been read: it left that out, or started over
        before. So none of that counts as known any more, whoever it was told."""
        told, self._told = self._told, hashes.Hashes()
        self.known.subtract(told)

    def may_list(self, path: bytes) -> bool:
        """Whether to list a changed node now. A long listing is `due` a little later: made for each
        of a thousand changes, it would keep the server busy, and us."""
        if path not in self._long and not self._waits(path):
            return True
        self._later.add(path)
        return False

    def due(self, now: float) -> list[bytes]:
        """The nodes that were to be listed later; an event from now on adds them again. None while
        the last such listing costs us enough; `now` is monotonic."""
        if now < self._rests_until:
            return []
        return self._taken([path for path in tuple(self._later) if not self._waits(path)])

    def _taken(self, paths: list[bytes]) -> list[bytes]:
        self._later.difference_update(paths)
        return paths

    def _waits(self, path: bytes) -> bool:
        waiting = self._waiting
        return bool(waiting) and any(mapping.is_below(path, root) for root in tuple(waiting))

    # --- a tree that is known is watched again, over a new connection ------------------------

    def hold(self, root: bytes) -> None:
        """What changes at and below `root` is listed later, as of `let_go`."""
        self._waiting.add(root)

    def knows(self, root: bytes, gathered: hashes.Gathered) -> None:
        """These are all nodes at and below `root` that were there when it was last looked. They are
        watched, or about to be, and their children; what came of that may have said that they are
        gone."""
        named = hashes.Hashes()
        for each in (named, self.known, self._armed):
            each.merge(gathered)
        self._named[root] = named
        for path in tuple(self._ended):
            self.known.discard(path)
            self._armed.discard(path)

    def let_go(self, root: bytes) -> list[bytes]:
        """The nodes that are to be listed now. What their lists have and was not named is new, also
        if it is known: a read that was meant for another connection may have come over this one."""
        # First, or `due` could take them, and list them too late.
        paths = self._taken([p for p in tuple(self._later) if mapping.is_below(p, root)])
        self._waiting.remove(root)
        if not self._waiting:
            self._ended.clear()
        return paths

    def told(self, root: bytes) -> None:
        """All of that was told of, or nobody wants to know any more."""
        self._named.pop(root, None)
        if root in self._waiting:
            self._later.update(self.let_go(root))

    def lists(self, root: bytes) -> Lists:
        """Of nodes at and below `root`. What is new in a list that has changed is told of once it
        has been read again."""
        changes, changed = self._changes, self._changed
        waiting = changed.copy().items() if changed else ()
        first = min((at for path, at in waiting if mapping.is_below(path, root)), default=None)
        return Lists(changes, changes if first is None else first - 1)

    # --- what reads say ----------------------------------------------------------------------

    def is_armed(self, path: bytes) -> bool:
        """Its children are watched, and no event has used that up."""
        return path in self._armed and path not in self._changed

    def arm(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """Their children are about to be watched: of which of them that is news."""
        new = self._armed.add_all(paths)
        if not (changed := self._changed):
            return new
        return [path for path in paths if path in changed or path in new]

    def listed(self, path: bytes, names: Sequence[bytes], event: Event, *, again: bool) -> None:
        """A listing is there, which watches as well.

        :param again: somebody wants to hear of what is new in it; as after an event.
        """
        started = time.monotonic()
        self._armed.add(path)
        if again or path in self._changed:
            self._compare(path, names, event)
            self._changed.pop(path, None)
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
        self._changed.pop(path, None)

    def gone(self, path: bytes) -> None:
        if self._waiting:
            # First: `knows` may be adding it, in another thread.
            self._ended.add(path)
        self.known.discard(path)
        self.unlisted(path)

    def deny(self, path: bytes) -> None:
        self.known.discard(path)
        self._denied.setdefault(_parent(path), set()).add(path)

    def allow(self, paths: Sequence[bytes]) -> None:
        """They may be read."""
        self.known.add_all(paths)
        if self._denied:
            for path in paths:
                self._denied.get(_parent(path), set()).discard(path)

    def _compare(self, path: bytes, names: Sequence[bytes], event: Event) -> None:
        """Tell of the children that are new, once, and of the denied that ended."""
        known, named = self.known, self._named_above(path)
        base = path if path != tree.ROOT else b""
        for name in names:
            child = base + b"/" + name
            is_known = child in known
            if is_known and (named is None or child in named):
                continue
            if not is_known:
                self._told.add(child)  # first: `begins` may be counting, in another thread
                known.add(child)
            event(CREATED, child)
        if path in self._denied:
            there = {base + b"/" + name for name in names}
            for child in self._denied.pop(path) - there:
                event(DELETED, child)

    def _named_above(self, path: bytes) -> hashes.Hashes | None:
        if not self._named:
            return None
        named = tuple(self._named.items())
        return next((each for root, each in named if mapping.is_below(path, root)), None)


def _parent(path: bytes) -> bytes:
    return path[: path.rfind(b"/")] or tree.ROOT
