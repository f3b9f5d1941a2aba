"""Which shard a watch event is for. Shards come and go while events arrive: the table is replaced
whole, never changed, so that the connection's thread reads it without a lock."""

from __future__ import annotations

import threading
from collections.abc import Callable

from zk2etcd_workers import zk_connection


class Routes:
    """Sinks and doubts by the shard's root."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sinks: dict[bytes, zk_connection.Sink] = {}
        self._doubts: dict[bytes, Callable[[], None]] = {}

    @property
    def roots(self) -> frozenset[bytes]:
        return frozenset(self._sinks)

    def add(self, root: bytes, sink: zk_connection.Sink, doubt: Callable[[], None]) -> None:
        with self._lock:
            self._doubts = {**self._doubts, root: doubt}
            self._sinks = {**self._sinks, root: sink}

    def remove(self, root: bytes) -> None:
        with self._lock:
            self._doubts = {path: doubt for path, doubt in self._doubts.items() if path != root}
            self._sinks = {path: sink for path, sink in self._sinks.items() if path != root}

    def tell(self, kind: int, path: bytes) -> None:
        """Hand an event to the shard at or above its path, if there is one."""
        sink = self._sinks.get(path)
        if sink is None:
            sink = self.above(path)
        if sink is not None:
            sink(kind, path)

    def above(self, path: bytes) -> zk_connection.Sink | None:
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
        for doubt in self._doubts.values():
            doubt()
