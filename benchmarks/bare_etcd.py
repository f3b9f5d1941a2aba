"""Nested Txns and paged ranges through raw stubs, as a plain good script would have them."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import etcd3.etcdrpc as rpc
import grpc

INNER_TXNS, INNER_OPS, TXNS_IN_FLIGHT = 63, 32, 8
TXN_OPS = INNER_TXNS * INNER_OPS
PAGE = 10_000
TIMEOUT = 30.0


def channel(address: str) -> Any:
    options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    return grpc.insecure_channel(address, options=options)


def below(key: bytes) -> tuple[bytes, bytes]:
    """The range of the keys below `key`."""
    return key + b"/", key + b"0"


class Puts:
    """A pipeline of nested Txns of 63 x 32 puts and deletes; `None` as value deletes."""

    def __init__(self, opened: Any) -> None:
        self._kv = rpc.KVStub(opened)
        self._under_way: deque[Any] = deque()
        self._waiting: list[tuple[bytes, bytes | None]] = []

    def add(self, changes: Sequence[tuple[bytes, bytes | None]]) -> None:
        self._waiting.extend(changes)
        while len(self._waiting) >= TXN_OPS:
            self._send(self._waiting[:TXN_OPS])
            del self._waiting[:TXN_OPS]

    def flush(self) -> None:
        """Send what waits, and wait for all answers."""
        if self._waiting:
            self._send(self._waiting)
            self._waiting = []
        while self._under_way:
            self._settle()

    def _send(self, changes: list[tuple[bytes, bytes | None]]) -> None:
        while len(self._under_way) >= TXNS_IN_FLIGHT:
            self._settle()
        request = rpc.TxnRequest()
        for start in range(0, len(changes), INNER_OPS):
            inner = request.success.add().request_txn
            for key, value in changes[start : start + INNER_OPS]:
                if value is None:
                    inner.success.add().request_delete_range.key = key
                else:
                    put = inner.success.add().request_put
                    put.key, put.value = key, value
        self._under_way.append(self._kv.Txn.future(request, timeout=TIMEOUT))

    def _settle(self) -> None:
        if not self._under_way.popleft().result().succeeded:
            raise RuntimeError("a Txn without compares did not succeed")


def pages(opened: Any, key: bytes) -> Iterator[list[Any]]:
    """All key-value pairs at and below `key`, at one revision, 10,000 at a time."""
    kv = rpc.KVStub(opened)
    start, end = below(key)
    own = kv.Range(rpc.RangeRequest(key=key), timeout=TIMEOUT)
    yield list(own.kvs)
    revision = own.header.revision
    while True:
        request = rpc.RangeRequest(key=start, range_end=end, limit=PAGE, revision=revision)
        reply = kv.Range(request, timeout=TIMEOUT)
        yield list(reply.kvs)
        if not reply.more:
            return
        start = reply.kvs[-1].key + b"\0"


def count(opened: Any, key: bytes) -> int:
    """How many keys are below `key`."""
    start, end = below(key)
    request = rpc.RangeRequest(key=start, range_end=end, count_only=True)
    return int(rpc.KVStub(opened).Range(request, timeout=TIMEOUT).count)


class Watch:
    """The changes below a key, as (key, value or None, seconds on the monotonic clock)."""

    def __init__(self, opened: Any, key: bytes) -> None:
        self.seen: queue.SimpleQueue[tuple[bytes, bytes | None, float]] = queue.SimpleQueue()
        self._done = threading.Event()
        self._call = rpc.WatchStub(opened).Watch(self._requests(key))
        first = next(self._call)
        if not first.created:
            raise RuntimeError("etcd did not create the watch")
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _requests(self, key: bytes) -> Iterator[Any]:
        start, end = below(key)
        create = rpc.WatchCreateRequest(key=start, range_end=end)
        yield rpc.WatchRequest(create_request=create)
        self._done.wait()

    def _read(self) -> None:
        with contextlib.suppress(grpc.RpcError):  # cancelled by close
            for reply in self._call:
                now = time.monotonic()
                for event in reply.events:
                    value = event.kv.value if event.type == 0 else None
                    self.seen.put((event.kv.key, value, now))

    def close(self) -> None:
        self._done.set()
        self._call.cancel()
        self._thread.join(5)
