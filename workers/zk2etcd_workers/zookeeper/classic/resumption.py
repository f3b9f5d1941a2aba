"""A tree that is known, watched again over another connection: what has changed of it is told as
events are, and nothing is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from zk2etcd_workers.zookeeper.classic import arming, hashes, watches as watching


class Resumption:
    """While it is entered, and until `list_changed`, what has changed at and below `root` is not
    listed: until all that is known is named, a known child would be taken for a new one."""

    def __init__(
        self,
        root: bytes,
        watches: watching.Watches,
        send: Callable[[arming.SetWatches, Any], None],
        list_again: Callable[[bytes], None],
    ) -> None:
        """:param send: a request, and where its answer goes; never waits.
        :param list_again: a node whose children have changed.
        """
        self._root = root
        self._watches = watches
        self._send = send
        self._list_again = list_again

    def __enter__(self) -> Self:
        self._watches.hold(self._root)
        return self

    def __exit__(self, *_: object) -> None:
        self._watches.told(self._root)

    def name(self, part: arming.Named, since: int, sink: Any) -> None:
        """Watch these nodes and their children, and hear of what changed of them after the zxid
        `since`."""
        self._send(arming.SetWatches(since, part, values=True), sink)

    def named_all(self, gathered: hashes.Gathered) -> None:
        """All that is known has been named, which is this."""
        self._watches.knows(self._root, gathered)

    def list_changed(self) -> None:
        """All of it was answered. A `sync` that is sent after this is answered after all that is
        new was told of."""
        for path in self._watches.let_go(self._root):
            self._list_again(path)
