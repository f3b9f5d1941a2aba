"""A bare follower: recursive watch, multiRead, nested Txns; no fence, one thread beside kazoo's.

Says "ready" on stdout once its watch stands, and follows until its standard input ends.

    python -m benchmarks.bare_follow ZOOKEEPER ETCD FROM TO
"""

from __future__ import annotations

import queue
import sys
import threading
from typing import Any

from benchmarks import bare_etcd, bare_zookeeper

WAIT_SECONDS = 0.5


class Follower:
    """Paths go from the watch's events to reads, from replies to puts and deletes."""

    def __init__(self, opened: Any, source: bytes, target: bytes) -> None:
        self._cut, self._target = len(source), target
        self._puts = bare_etcd.Puts(opened)
        self._dirty: dict[bytes, None] = {}
        self._under_way = 0
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def event(self, _kind: int, path: bytes) -> None:
        self.inbox.put(path)

    def turn(self, client: Any) -> None:
        """Take what has come, send what may be read, write what was read."""
        self._take()
        while self._dirty and self._under_way < bare_zookeeper.IN_FLIGHT:
            batch = list(self._dirty)[: bare_zookeeper.OPS]
            for path in batch:
                del self._dirty[path]
            bare_zookeeper.send(client, [(bare_zookeeper.GET, path) for path in batch], self.inbox)
            self._under_way += 1
        if not self._under_way:
            self._puts.flush()

    def _take(self) -> None:
        item = self._next(WAIT_SECONDS)
        while item is not None:
            if isinstance(item, bytes):
                self._dirty[item] = None
            else:
                self._read(*item)
            item = self._next(0)

    def _next(self, timeout: float) -> Any:
        try:
            return self.inbox.get(timeout=timeout) if timeout else self.inbox.get_nowait()
        except queue.Empty:
            return None

    def _read(self, ops: Any, results: Any) -> None:
        self._under_way -= 1
        if isinstance(results, BaseException):
            raise results
        found = zip(ops, results, strict=True)
        self._puts.add(
            [(self._target + path[self._cut :], node and node[0]) for (_, path), node in found]
        )


def _await_end(over: threading.Event) -> None:
    sys.stdin.read()
    over.set()


def main(zookeeper: str, etcd: str, source: str, target: str) -> None:
    follower = Follower(bare_etcd.channel(etcd), source.encode(), target.encode())
    client = bare_zookeeper.connect(zookeeper, follower.event)
    bare_zookeeper.watch(client, source.encode())
    over = threading.Event()
    threading.Thread(target=_await_end, args=(over,), daemon=True).start()
    print("ready", flush=True)
    while not over.is_set():
        follower.turn(client)
    bare_zookeeper.disconnect(client)


if __name__ == "__main__":
    main(*sys.argv[1:5])
