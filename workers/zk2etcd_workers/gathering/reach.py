"""Whether ZooKeeper serves a worker that has no session, since it has no shard.

Only a shard knows the floor below which no server may be asked: without one no session is opened.
A supervisor that cannot reach ZooKeeper would so be offered shards, and have each for as long as
it takes to find out. Here servers are asked whether they serve anybody, which opens no session.
"""

from __future__ import annotations

import threading
import time

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper.servers import probing

_SOON = 2.0


class Reach:
    """Asks in a thread of its own, and only while somebody wants to know."""

    def __init__(self, settings: connections.ZooKeeper, every: float) -> None:
        """:param every: seconds from one look to the next, while all is well."""
        self._settings = settings
        self._every = every
        self._lock = threading.Lock()
        self._under_way = False
        self._due_at = 0.0
        self._there = True

    def is_there(self) -> bool:
        """As the last look found it; before the first one it is taken to be."""
        with self._lock:
            looks = not self._under_way and time.monotonic() >= self._due_at
            self._under_way = self._under_way or looks
        if looks:
            threading.Thread(target=self._look, name="reach", daemon=True).start()
        return self._there

    def _look(self) -> None:
        found = False
        try:
            found = any(probing.serves(host, self._settings) for host in self._settings.hosts)
        finally:
            with self._lock:
                self._there, self._under_way = found, False
                self._due_at = time.monotonic() + (self._every if found else _SOON)
