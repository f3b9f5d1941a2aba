"""What a full sync repairs although no event had told of it.

A repair is either a stranger's doing in etcd, or a change of ZooKeeper's that the live pipeline was
never told of: then the watch is not what it should be, and what is called fresh may not be. Which
of the two is found out by when the node changed (its mzxid), and by whether an event came since.
"""

from __future__ import annotations

from typing import NamedTuple

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import dirty_paths


class _Point(NamedTuple):
    """Where a comparison began: events of changes after `zxid` came after that, and etcd was at
    `revision`; None while that is not known."""

    zxid: int | None
    revision: int | None


class Untold:
    """The judge, from one comparison to the next, on one connection.

    :param zxid: of a `sync` after which the first one, a base, began.
    :param compares: one is about to begin: what a comparison reads may not be in etcd, and then no
        event tells of it, until it has ended.
    """

    def __init__(self, heard: dirty_paths.Heard, zxid: int, *, compares: bool = False) -> None:
        self._heard = heard
        self.compares = compares
        self._last = self._begun = _Point(zxid, None)
        self._dark: frozenset[bytes] | None = frozenset()

    @property
    def awaits_sync(self) -> bool:
        return self._begun.zxid is None

    @property
    def awaits_etcd(self) -> bool:
        return self._begun.revision is None

    def etcd_at(self, revision: int) -> None:
        """etcd's revision, soon after the base."""
        if self._begun.revision is None:
            self._begun = self._begun._replace(revision=revision)

    def synced(self, zxid: int) -> None:
        """A `sync` was answered."""
        if self._begun.zxid is None:
            self._begun = self._begun._replace(zxid=zxid)

    def begins(self, revision: int | None, dark: frozenset[bytes] | None) -> None:
        """A full sync does, at this revision of etcd's.

        :param dark: what could not be read until now, of which no event may have come by right;
            None: too much of it to be named.
        """
        self._last, self._begun = self._begun, _Point(None, revision)
        self._dark = dark
        self._heard.turn()
        self.compares = True

    def ends(self, missed: int) -> None:
        """It has, and what it found to differ is in etcd. Where it was untold, others may be."""
        self.compares = bool(missed)

    def is_untold(
        self, path: bytes, node: tree.Node | tree.Miss, there: wire.Present | None
    ) -> bool:
        """Whether what ZooKeeper has, and etcd not yet, came about since the last comparison began
        and no event told of it."""
        zxid, revision = self._last
        if isinstance(node, tree.Node):
            changed = zxid is not None and node.mzxid > zxid
        else:
            changed = there is not None and revision is not None and there.revision <= revision
        return changed and path not in self._heard and not self._is_dark(path)

    def _is_dark(self, path: bytes) -> bool:
        if self._dark is None:
            return True
        while self._dark and path:
            if path in self._dark:
                return True
            path = path[: path.rfind(b"/")]
        return b"/" in self._dark
