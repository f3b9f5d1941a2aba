"""ZooKeeper and etcd side by side, as an outsider reads them, and changes made in bulk."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Self

import kazoo.client
import kazoo.exceptions

from tests import polling
from tests.integration import observing

_MISSED = (kazoo.exceptions.NoNodeError, kazoo.exceptions.NodeExistsError)


class Sides:
    """Clients of one ZooKeeper and one etcd."""

    def __init__(self, zookeeper: str, etcd: str) -> None:
        self.zk: kazoo.client.KazooClient = observing.connected(zookeeper)
        self.etcd = observing.Etcd(etcd)

    def close(self) -> None:
        self.zk.stop()
        self.zk.close()
        self.etcd.close()

    def seed(self, root: str, count: int = 5) -> None:
        """`root` and `count` children with values."""
        self.zk.ensure_path(root)
        items = [(f"{root}/n{number}", b"v%d" % number) for number in range(count)]
        observing.seed(self.zk, items)

    def expected(self, source: str, target: str | None = None) -> dict[bytes, bytes]:
        """What etcd must hold for this prefix: key -> value."""
        base = target or source
        return {
            (base + path[len(source) :]).encode(): value
            for path, value in observing.nodes(self.zk, source)
        }

    def equal(self, source: str, target: str | None = None) -> bool:
        """Whether etcd holds exactly the nodes at and below `source`, with their values."""
        return self.etcd.values(target or source) == self.expected(source, target)

    def wait_equal(self, *sources: str, timeout: float = 10.0) -> None:
        for source in sources:
            polling.until(
                lambda path=source: self.equal(path),  # type: ignore[misc]
                timeout,
                what=f"{source} equal on both sides",
            )

    def owners(self, state: str) -> dict[bytes, observing.KeyValue]:
        """The owner keys of this state prefix; their mod_revision is the fencing token."""
        start = f"{state}/owners/".encode()
        return self.etcd.range(start, start[:-1] + b"0")


class Load:
    """A steady stream of creates, sets and deletes below `root`, from a thread of its own."""

    def __init__(self, address: str, root: str, per_second: int = 100) -> None:
        self._zk = observing.connected(address)
        self._root = root
        self._pause = 1.0 / per_second
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.changes = 0

    def __enter__(self) -> Self:
        self._zk.ensure_path(self._root)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Stop changing things; returns when the last change was answered."""
        self._stop.set()
        self._thread.join(10)
        self._zk.stop()
        self._zk.close()

    def _run(self) -> None:
        luck = random.Random(7)
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due += self._pause
            path = f"{self._root}/k{luck.randrange(300)}"
            with contextlib.suppress(*_MISSED):
                self._change(luck, path)
                self.changes += 1

    def _change(self, luck: random.Random, path: str) -> None:
        kind = luck.randrange(4)
        if kind == 0:
            self._zk.delete(path)
        elif kind == 1:
            self._zk.create(path, b"c%d" % self.changes)
        else:
            self._zk.set(path, b"s%d" % self.changes)
