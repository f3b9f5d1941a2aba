"""Deletes that were seen live and are not written yet. Pure: times are monotonic, and arguments.

A node that ends with a session often comes back with the next one. Which nodes those are is not
told when one goes, so what was read of them before is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable

from zk2etcd_workers.model import tree


class Waiting:
    """Used by the shard's thread; others may ask what it `keeps`. It outlives starts of the shard,
    since a delete that was seen stays a fact."""

    def __init__(self) -> None:
        self._ephemeral: set[int] = set()
        """Hashes of the paths: a chance meeting lets a delete wait that need not."""
        self._until: dict[bytes, float] = {}
        """The one that is due first comes first, as all wait equally long."""
        self._ripe: set[bytes] = set()
        self.held = False
        """A person is waited for: none of them is written."""

    def saw(self, nodes: Iterable[tree.Node | None], seconds: float) -> None:
        """These were read."""
        for node in nodes if seconds else ():
            if node is None:
                continue
            if tree.is_ephemeral(node):
                self._ephemeral.add(hash(node.path))
            elif self._ephemeral:
                self._ephemeral.discard(hash(node.path))

    def goes(self, path: bytes, now: float, seconds: float) -> bool:
        """It was seen to go, perhaps not for the first time: is its delete to wait?"""
        if path in self._until:
            return True
        if path not in self._ripe and hash(path) in self._ephemeral:
            self._until[path] = now + seconds
            return True
        self._ripe.discard(path)
        self._ephemeral.discard(hash(path))
        return False

    def missed(self, path: bytes, now: float, seconds: float, *, live: bool) -> bool:
        """A walk missed it: may it still come back? Only one that was seen to go is waited for.

        :param live: it was, and nothing came of that yet.
        """
        return path in self._until or (live and seconds > 0 and self.goes(path, now, seconds))

    def back(self, path: bytes) -> None:
        """There is a node again."""
        self._until.pop(path, None)
        self._ripe.discard(path)

    def due(self, now: float) -> list[bytes]:
        """Those that have waited long enough: they are to be read again, and are told of once."""
        paths = []
        for path, until in self._until.items():
            if until > now:
                break
            paths.append(path)
        self._ripen(paths)
        return paths

    def hold(self) -> list[bytes]:
        """A person is waited for from now on, by those that wait for their nodes, too: which those
        are."""
        self.held = True
        paths = list(self._until)
        self._ripen(paths)
        return paths

    def _ripen(self, paths: Iterable[bytes]) -> None:
        for path in paths:
            del self._until[path]
            self._ripe.add(path)

    def next(self, now: float) -> float | None:
        """Seconds until one is due; None if none waits."""
        first = next(iter(self._until.values()), None)
        return None if first is None else max(0.0, first - now)

    @property
    def paths(self) -> Iterable[bytes]:
        """All that went and is not written."""
        return [*self._until, *self._ripe]

    def is_known(self, path: bytes) -> bool:
        """That it went has been noted before."""
        return path in self._until or path in self._ripe

    def keeps(self, path: bytes) -> bool:
        """Its delete is not to be written now, whoever misses the node."""
        return self.held or path in self._until

    def waits(self, path: bytes) -> bool:
        """It is for the node that it waits, and not for a person."""
        return path in self._until

    def forget(self) -> None:
        """Nobody looked, or another ensemble did: what went is a walk's to find."""
        self._until.clear()
        self._ripe.clear()
