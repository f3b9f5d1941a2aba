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

from tests.faults import login

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
]


ERA = 10**12
"""etcd's revisions begin anew where it was put back to a snapshot: this much higher each time."""


class Event(NamedTuple):
    """One change; `value` None is a delete. `at` is the wall clock when we heard of it; `lease`
    0 if the key hangs on none. `restored`: no change of anybody's, but what a restore put back."""

    revision: int
    key: bytes
    value: bytes | None
    at: float
    lease: int = 0
    restored: bool = False

    @property
    def own_revision(self) -> int:
        """As etcd counts it."""
        return self.revision % ERA


class LostHistory(Exception):
    """The test compacted what its own watch had not seen yet: a fault of the suite."""


class Watcher:
    """A watch of all keys, in a thread of its own. `events` grows; read it any time."""

    def __init__(self, endpoints: Sequence[str], *, logs_in: bool = False, since: int = 0) -> None:
        """:param since: a revision; what was up to it is not told. It may have been compacted."""
        self._logs_in = logs_in
        self._endpoints = itertools.cycle(endpoints)
        self._stop = threading.Event()
        self._call: Any = None
        self._lost = ""
        self._paused = threading.Event()
        self._idle = threading.Event()
        self._era = 0
        self.events: list[Event] = []
        self.revision = since
        """The last one heard of, as etcd counts it."""
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._thread.start()

    def counted(self, revision: int) -> int:
        """A revision of the etcd of now, as events have it."""
        return self._era * ERA + revision

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

    def pause(self) -> None:
        """Listen no more until `restored`; what was to be heard must have been heard by now."""
        self._paused.set()
        call = self._call
        if call is not None:
            call.cancel()
        self._idle.wait(10)
        self.revision = 0  # nobody may compact up to one that etcd loses

    def restored(self, snapshot: int, revision: int) -> None:
        """etcd was put back to what it held at revision `snapshot`; whatever it does next comes
        after `revision`."""
        before, last = {}, {}
        for event in self.events:
            last[event.key] = event
            if event.revision // ERA < self._era or event.own_revision <= snapshot:
                before[event.key] = event
        self._era, now = self._era + 1, time.time()
        for key, event in last.items():
            then = before.get(key, Event(0, key, None, now))
            if then.value != event.value or then.own_revision != event.own_revision:
                self.events.append(
                    then._replace(
                        revision=self._era * ERA + then.own_revision, at=now, restored=True
                    )
                )
        self.revision = revision
        self._idle.clear()
        self._paused.clear()

    def _run(self) -> None:
        while not self._stop.is_set() and not self._lost:
            if self._paused.is_set():
                self._idle.set()
                self._stop.wait(0.05)
                continue
            with grpc.insecure_channel(next(self._endpoints), options=_OPTIONS) as channel:
                self._follow(channel)
            self._stop.wait(0.05)

    def _follow(self, channel: Any) -> None:
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        create = rpc.WatchCreateRequest(
            key=b"\0", range_end=b"\0", start_revision=self.revision + 1
        )
        requests.put(rpc.WatchRequest(create_request=create))
        metadata = login.metadata(channel) if self._logs_in else None
        self._call = rpc.WatchStub(channel).Watch(iter(requests.get, None), metadata=metadata)
        try:
            for reply in self._call:
                if reply.canceled and not reply.compact_revision:
                    return  # the login is not valid any more
                if reply.compact_revision:
                    self._lost = f"revision {reply.compact_revision} was compacted too early"
                    return
                self._take(reply.events)
                if self._stop.is_set() or self._paused.is_set():
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
            self.events.append(
                Event(self.counted(revision), bytes(event.kv.key), value, now, lease)
            )
            self.revision = max(self.revision, revision)
