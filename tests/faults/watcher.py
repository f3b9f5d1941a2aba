"""Everything that ever happened in an etcd, from its first revision on.

It talks to the members themselves, never through a proxy, and goes on at the next revision
wherever a member was killed, so that a fault can delay what the oracle knows but not change it.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc
import grpc

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


class Event(NamedTuple):
    """One change; `value` None is a delete. `at` is the wall clock when we heard of it; `lease`
    0 if the key hangs on none."""

    revision: int
    key: bytes
    value: bytes | None
    at: float
    lease: int = 0


class LostHistory(Exception):
    """The test compacted what its own watch had not seen yet: a fault of the suite."""


class Watcher:
    """A watch of all keys, in a thread of its own. `events` grows; read it any time."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self._endpoints = itertools.cycle(endpoints)
        self._stop = threading.Event()
        self._call: Any = None
        self._lost = ""
        self.events: list[Event] = []
        self.revision = 0
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """:raises LostHistory: what follows is not the whole truth."""
        if self._lost:
            raise LostHistory(self._lost)

    def put_back(self, revision: int) -> None:
        """etcd was put back to `revision`: what came after it never was. Only while it is down."""
        self.events[:] = [event for event in self.events if event.revision <= revision]
        self.revision = revision

    def close(self) -> None:
        self._stop.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._stop.is_set() and not self._lost:
            with grpc.insecure_channel(next(self._endpoints), options=_OPTIONS) as channel:
                self._follow(channel)
            self._stop.wait(0.05)

    def _follow(self, channel: Any) -> None:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        create = rpc.WatchCreateRequest(
            key=b"\0", range_end=b"\0", start_revision=self.revision + 1
        )
        requests.put(rpc.WatchRequest(create_request=create))
        self._call = rpc.WatchStub(channel).Watch(iter(requests.get, None))
        try:
            for reply in self._call:
                if reply.compact_revision:
                    self._lost = f"revision {reply.compact_revision} was compacted too early"
                    return
                self._take(reply.events)
                if self._stop.is_set():
                    return
        except grpc.RpcError:
            return
        finally:
            requests.put(None)
            self._call.cancel()

    def _take(self, events: Any) -> None:
        now = time.time()
        for event in events:
            value = None if event.type == 1 else bytes(event.kv.value)
            revision = int(event.kv.mod_revision)
            lease = int(event.kv.lease)
            self.events.append(Event(revision, bytes(event.kv.key), value, now, lease))
            self.revision = max(self.revision, revision)
