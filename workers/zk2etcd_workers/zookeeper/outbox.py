"""The requests on their way to one ZooKeeper client: few in kazoo's hands, the rest waits here.

kazoo wakes its connection thread with one byte for each request, over a blocking socket pair that
holds some 278 of them (tried). A server that stands still would so block the callers themselves,
without a time-out; and many shards share one client. So kazoo gets a bounded number at a time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

LIMIT = 190


class Pending(Protocol):
    """What waits for a reply; `started` in monotonic seconds."""

    started: float

    def set_exception(self, error: BaseException) -> None: ...


class Outbox:
    """First come, first sent. `hand_over(request, pending)` gives one to kazoo, `is_live` tells
    whether a connection is there, `lost` makes the error of a request that has none."""

    def __init__(
        self,
        hand_over: Callable[[Any, Any], None],
        is_live: Callable[[], bool],
        lost: Callable[[], BaseException],
        limit: int = LIMIT,
    ) -> None:
        self._hand_over = hand_over
        self._is_live = is_live
        self._lost = lost
        self._limit = limit
        self._lock = threading.Lock()
        self._out: dict[Pending, None] = {}
        self._waiting: deque[tuple[Any, Pending]] = deque()

    def send(self, request: Any, pending: Pending) -> None:
        """Send it, now or when it is its turn. Never blocks."""
        with self._lock:
            if self._waiting or len(self._out) >= self._limit:
                self._waiting.append((request, pending))
                return
            self._out[pending] = None
        self._hand_over(request, pending)

    def answered(self, pending: Pending) -> None:
        """To be called once for each request, with whatever end it took: the next may go."""
        with self._lock:
            self._out.pop(pending, None)
            if not self._waiting:
                return
            live = self._is_live()
            following = self._next() if live else list(self._waiting)
            if not live:
                # Given to kazoo now, they would write into a socket pair that nobody reads.
                self._waiting.clear()
        for request, each in following:
            if live:
                self._hand_over(request, each)
            else:
                each.set_exception(self._lost())

    def _next(self) -> list[tuple[Any, Pending]]:
        following = []
        while self._waiting and len(self._out) < self._limit:
            following.append(self._waiting.popleft())
            self._out[following[-1][1]] = None
        return following

    def oldest(self) -> float | None:
        """When the request that has waited longest for its reply was made."""
        with self._lock:
            return next((pending.started for pending in self._out), None)

    def __len__(self) -> int:
        """How many are in kazoo's hands."""
        return len(self._out)
