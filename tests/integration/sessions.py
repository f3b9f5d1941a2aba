"""A ZooKeeper session of the engine, for the tests that look at it alone."""

from __future__ import annotations

import queue
from collections.abc import Sequence
from typing import Any

from tests import polling
from zk2etcd import metrics
from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import protocol, reply as replies, session


class Opened:
    """A session that is connected, and the answers to what is asked of it."""

    def __init__(self, address: str, floor: int = 0, **settings: Any) -> None:
        parts = {"hosts": [address], "session_timeout": 2.0, "connect_timeout": 2.0, **settings}
        self.session = session.Session(connections.ZooKeeper(**parts), metrics.null())
        self.replies: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
        self.session.open(floor)

    def connected(self) -> Opened:
        polling.until(lambda: self.session.connected, what="connected")
        return self

    def answer(self) -> replies.Reply:
        return self.replies.get(timeout=10)

    def read(self, ops: Sequence[protocol.Op]) -> replies.Reply:
        self.session.read(ops, self.replies.put, "tag", permits=0)
        return self.answer()

    def watch(self, root: bytes) -> list[tuple[int, bytes]]:
        events: list[tuple[int, bytes]] = []
        self.session.subscribe(root, lambda kind, path: events.append((kind, path)), lambda: None)
        self.session.watch(root, self.replies.put)
        assert self.answer().error is None
        return events
