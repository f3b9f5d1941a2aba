"""Which shards a watch event is for. Shards come and go while events arrive: the table is replaced
whole, never changed, so that the connection's thread reads it without a lock.

The buckets of one prefix have the same root. Each hears of the root; of what is below it only the
one whose it is, so that an event costs the same however many buckets a worker has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import NamedTuple

from zk2etcd_workers.model import mapping
from zk2etcd_workers.zookeeper import connection


class Part(NamedTuple):
    """Which of a root's children are a shard's: see `mapping.bucket`."""

    bucket: int = 0
    buckets: int = 1


ALL = Part()


class _Shard(NamedTuple):
    doubt: Callable[[], None]
    part: Part


_Shards = Mapping[connection.Sink, _Shard]


class Routes:
    """Sinks and doubts by the shard's root. A shard is known by its root and its sink."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: dict[bytes, _Shards] = {}
        self._sinks: dict[bytes, connection.Sink] = {}

    @property
    def roots(self) -> frozenset[bytes]:
        return frozenset(self._sinks)

    def add(
        self, root: bytes, sink: connection.Sink, doubt: Callable[[], None], part: Part = ALL
    ) -> None:
        with self._lock:
            self._set(root, {**self._shards.get(root, {}), sink: _Shard(doubt, part)})

    def remove(self, root: bytes, sink: connection.Sink) -> None:
        with self._lock:
            left = self._shards.get(root, {})
            self._set(root, {each: shard for each, shard in left.items() if each != sink})

    def _set(self, root: bytes, shards: _Shards) -> None:
        """The new table: this root's shards, and all others as they were."""
        kept = {path: each for path, each in self._shards.items() if path != root}
        sinks = {path: each for path, each in self._sinks.items() if path != root}
        self._shards = {**kept, root: shards} if shards else kept
        self._sinks = {**sinks, root: _dealt(root, shards)} if shards else sinks

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
        for shards in self._shards.values():
            for shard in shards.values():
                shard.doubt()


def _dealt(root: bytes, shards: _Shards) -> connection.Sink:
    """One sink that hands on to those whom it concerns. While the number of buckets is changed,
    there are several."""
    if len(shards) == 1:
        return next(iter(shards))
    everybody = list(shards)
    splits: dict[int, dict[int, list[connection.Sink]]] = {}
    for sink, (_, part) in shards.items():
        splits.setdefault(part.buckets, {}).setdefault(part.bucket, []).append(sink)
    by_bucket, cut = list(splits.items()), 0 if root == b"/" else len(root)

    def tell(kind: int, path: bytes) -> None:
        if path == root:
            for sink in everybody:
                sink(kind, path)
            return
        name = mapping.first(path, cut)
        for buckets, sinks in by_bucket:
            for sink in sinks.get(mapping.bucket(name, buckets), ()):
                sink(kind, path)

    return tell
