"""Which thread answers a request, and which request is not taken at all.

Probes must not wait for people, nor people who look for those who ask: an order waits for the
supervisor's loop, which may take its time. So each kind has threads of its own, and beside them a
short line; whoever comes when that is full, or has many in it already, is told so at once. What
other supervisors hand on has threads, too: two that ask each other would wait for each other else.
So have those who look at all of them, which takes until the slowest has answered.
"""

from __future__ import annotations

import collections
import json
import logging
import threading
from typing import Any, NamedTuple

from waitress import task

from zk2etcd.admin import http_channel, signing

PROBES = ("/livez", "/healthz", "/readyz")
_READS = ("GET", "HEAD", "OPTIONS")
_STATUS = "/status"
_STACKS = "/stacks"  # asked for when the loop hangs, and answered without it
_BUSY = "other requests are under way: try again"


class _Busy(NamedTuple):
    """An error that waitress answers with, as the others are answered."""

    error: str = _BUSY

    def to_response(self, _ident: str | None) -> tuple[str, list[tuple[str, str]], bytes]:
        headers = [("Content-Type", "application/json"), ("Retry-After", "1")]
        return "503 Service Unavailable", headers, json.dumps({"error": self.error}).encode()


class _Threads(task.ThreadedTaskDispatcher):  # type: ignore[misc]
    queue_logger = logging.Logger("unheard", logging.CRITICAL)  # it says how long each line is


class Lane:
    """Some threads, and the line before them: at most so many of one address, and of all."""

    def __init__(self, threads: int, each: int, every: int) -> None:
        self._threads = _Threads()
        self._threads.set_thread_count(threads)
        self._each = each
        self._every = every
        self._lock = threading.Lock()
        self._waiting: collections.Counter[str] = collections.Counter()

    def take(self, channel: http_channel.Channel) -> bool:
        """Have its request answered, unless the line is full."""
        address = str(channel.addr[0])
        with self._lock:
            if self._waiting[address] >= self._each or self._waiting.total() >= self._every:
                return False
            self._waiting[address] += 1
        self._threads.add_task(_Place(self, channel, address))
        return True

    def leaves(self, address: str) -> None:
        """One of this address waits no longer."""
        with self._lock:
            self._waiting[address] -= 1
            self._waiting += collections.Counter()  # without those that are 0

    def close(self, timeout: float) -> None:
        self._threads.shutdown(timeout=timeout)


class _Place(NamedTuple):
    """A request in the line."""

    lane: Lane
    channel: http_channel.Channel
    address: str

    def service(self) -> None:
        self.lane.leaves(self.address)
        self.channel.service()

    def cancel(self) -> None:
        self.channel.cancel()


class Lanes:
    """What waitress calls a task dispatcher: `add_task` is called from any thread."""

    def __init__(self, connections: int) -> None:
        self._probes = Lane(1, connections, 2 * connections)
        self._looks = Lane(3, 16, 64)
        self._orders = Lane(2, 2, 4)
        self._handed_on = Lane(2, 16, 64)
        self._gathered = Lane(2, 8, 32)

    def add_task(self, channel: http_channel.Channel) -> None:
        request: Any = channel.requests[0]
        if not self._lane(request).take(channel):
            request.error = _Busy()
            self._probes.take(channel)

    def _lane(self, request: Any) -> Lane:
        if request.error is not None or (request.command in _READS and request.path in PROBES):
            return self._probes
        if signing.FORWARDED.upper().replace("-", "_") in request.headers:
            return self._handed_on
        if request.path == _STATUS and "all=" in request.query:
            return self._gathered
        looks = request.command in _READS or request.path == _STACKS
        return self._looks if looks else self._orders

    def shutdown(self, *, timeout: float = 1.0) -> None:
        for lane in (
            self._probes,
            self._looks,
            self._orders,
            self._handed_on,
            self._gathered,
        ):
            lane.close(timeout)
