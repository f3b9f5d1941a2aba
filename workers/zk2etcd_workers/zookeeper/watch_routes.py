"""Which shards a watch event is for. Shards come and go while events arrive: the table is replaced
whole, never changed, so that the connection's thread reads it without a lock.

The buckets of one prefix have the same root, and each of them hears of every event below it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from zk2etcd_workers.zookeeper import connection

_Doubts = Mapping[connection.Sink, Callable[[], None]]


class Routes:
    """Sinks and doubts by the shard's root. A shard is known by its root and its sink."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: dict[bytes, _Doubts] = {}
        self._sinks: dict[bytes, connection.Sink] = {}

    @property
    def roots(self) -> frozenset[bytes]:
        return frozenset(self._sinks)

    def add(self, root: bytes, sink: connection.Sink, doubt: Callable[[], None]) -> None:
        with self._lock:
            self._set(root, {**self._shards.get(root, {}), sink: doubt})

    def remove(self, root: bytes, sink: connection.Sink) -> None:
        with self._lock:
            left = self._shards.get(root, {})
            self._set(root, {each: doubt for each, doubt in left.items() if each != sink})

    def _set(self, root: bytes, shards: _Doubts) -> None:
        """The new table: this root's shards, and all others as they were."""
        kept = {path: each for path, each in self._shards.items() if path != root}
        sinks = {path: each for path, each in self._sinks.items() if path != root}
        self._shards = {**kept, root: shards} if shards else kept
        self._sinks = {**sinks, root: _all(list(shards))} if shards else sinks

    def tell(self, kind: int, path: bytes) -> None:
        """Hand an event to the shards at or above its path, if there are any."""
        sink = self._sinks.get(path)
        if sink is None:
            sink = self.above(path)
        if sink is not None:
            sink(kind, path)

    def above(self, path: bytes) -> connection.Sink | None:
        """Whoever mirrors a subtree that this path lies in, below its root."""
        sinks = self._sinks
        at = path.rfind(b"/")
        while at > 0:
            if (sink := sinks.get(path[:at])) is not None:
                return sink
            at = path.rfind(b"/", 0, at)
        return sinks.get(b"/")

    def doubt(self) -> None:
        """Tell every shard that the session's epoch has changed."""
        for doubts in self._shards.values():
            for doubt in doubts.values():
                doubt()


def _all(sinks: list[connection.Sink]) -> connection.Sink:
    """One sink that hands on to all of them."""
    if len(sinks) == 1:
        return sinks[0]

    def tell(kind: int, path: bytes) -> None:
        for sink in sinks:
            sink(kind, path)

    return tell
