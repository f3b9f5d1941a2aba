"""The oldest children of ZooKeeper's `/`, as one connection shows them: looked up once for all
shards of a worker, which would list `/` a thousand times otherwise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from zk2etcd_workers import turn
from zk2etcd_workers.model import tree

_FRESH = 10.0


class Oldest:
    """Shared by the threads of all shards of one session."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._of: tuple[int | None, float] = (None, 0.0)
        self._nodes: Sequence[tree.Node] = ()

    def of(
        self, epoch: int | None, pulse: turn.Turn, look: Callable[[], Sequence[tree.Node]]
    ) -> Sequence[tree.Node]:
        """What `look` found on this connection a moment ago, by whichever shard, or finds now."""
        while not self._lock.acquire(timeout=turn.SLICE):
            pulse.beat()
        try:
            known, at = self._of
            if epoch is None or epoch != known or time.monotonic() - at > _FRESH:
                self._nodes = look()
                self._of = (epoch, time.monotonic())
            return self._nodes
        finally:
            self._lock.release()
