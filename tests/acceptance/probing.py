"""The lag of a mirror as its users feel it: from the write to ZooKeeper to the event of an etcd
watch, measured from outside by one clock."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Iterable
from typing import Any, Self

import etcd3.etcdrpc as rpc
import grpc

from tests import polling
from tests.integration import observing


class Probe:
    """Sets one node, 50 times a second by default, to the next number, and watches its key.

    A change that was overtaken by the next one before it was read counts as seen when that one is:
    so each lag is the time until etcd was at least as new.
    """

    def __init__(
        self, zookeeper: str, etcd: str, path: str, *, key: str | None = None, per_second: int = 50
    ) -> None:
        self._zk = observing.connected(zookeeper)
        self._zk.ensure_path(path)
        self._path = path
        self._pause = 1.0 / per_second
        self._channel = grpc.insecure_channel(etcd, options=[("grpc.enable_http_proxy", 0)])
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        create = rpc.WatchCreateRequest(key=(key or path).encode())
        self._requests.put(rpc.WatchRequest(create_request=create))
        self._call = rpc.WatchStub(self._channel).Watch(iter(self._requests.get, None))
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, name="probe", daemon=True)
            for work in (self._send, self._receive)
        ]
        self._watching = threading.Event()
        self._sent: list[float] = []
        self._seen: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        self._threads[1].start()
        assert self._watching.wait(10)
        self._threads[0].start()
        polling.until(lambda: self._seen, what="the probe's first change in etcd")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._requests.put(None)
        self._call.cancel()
        for thread in self._threads:
            thread.join(10)
        self._zk.stop()
        self._zk.close()
        self._channel.close()

    def lags(self) -> list[float]:
        """Stop sending; the lag of every change in seconds, in their order."""
        self._stop.set()
        self._threads[0].join(10)
        last = len(self._sent) - 1
        polling.until(lambda: self._seen[-1][0] == last, what="the probe's last change in etcd")
        return list(_lags(self._sent, self._seen))

    def _send(self) -> None:
        due = time.monotonic()
        for number in itertools.count():
            if self._stop.wait(max(0.0, due - time.monotonic())):
                return
            due += self._pause
            self._sent.append(time.monotonic())
            self._zk.set(self._path, b"%d" % number)

    def _receive(self) -> None:
        try:
            for reply in self._call:
                now = time.monotonic()
                if reply.created:
                    self._watching.set()
                for event in reply.events:
                    if event.type == 0 and event.kv.value:
                        self._seen.append((int(event.kv.value), now))
        except grpc.RpcError:
            return


def _lags(sent: list[float], seen: Iterable[tuple[int, float]]) -> Iterable[float]:
    number = 0
    for newest, at in seen:
        while number <= newest:
            yield at - sent[number]
            number += 1


class Bare:
    """Puts one key straight into etcd, 50 times a second: how long the machine and etcd take for
    it while a `Probe` runs. A mirror cannot be faster than that."""

    def __init__(self, etcd: str, key: str) -> None:
        self._channel = grpc.insecure_channel(etcd, options=[("grpc.enable_http_proxy", 0)])
        self._put = rpc.KVStub(self._channel).Put
        self._request = rpc.PutRequest(key=key.encode(), value=b"x")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bare probe", daemon=True)
        self._took: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        self._channel.close()

    def worst(self) -> float:
        """The longest put so far, in seconds."""
        return max(self._took, default=0.0)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            # Counted from when it was due: a machine that did not let us run stalled as well.
            self._put(self._request, timeout=10)
            self._took.append(time.monotonic() - due)
            due = max(due + 0.02, time.monotonic())
