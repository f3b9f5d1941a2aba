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
"""Of one session."""

SERVERS_SHARE = 250
"""Of all sessions of a supervisor: a quarter of what a server works on at once for all its clients
(globalOutstandingLimit, 1,000 by default), beyond which it stops reading from them."""

_LEAST = 16


def share(sessions: int) -> int:
    """How many requests each of so many sessions may have under way."""
    return max(_LEAST, min(LIMIT, SERVERS_SHARE // max(1, sessions)))


class Pending(Protocol):
    """What waits for a reply; `started` in monotonic seconds."""

    started: float

    def set_exception(self, error: BaseException) -> None: ...


class Outbox:
    """First come, first sent, on whichever thread. `hand_over(request, pending)` gives one to
    kazoo, `is_live` tells whether a connection is there, `lost` makes the error of a request that
    has none. A request with a `weight` is so many to the server."""

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
        # Entered again where kazoo refuses one at once.
        self._lock = threading.RLock()
        self._out: dict[Pending, int] = {}
        self._load = 0
        self._waiting: deque[tuple[Any, Pending]] = deque()

    def send(self, request: Any, pending: Pending) -> None:
        """Send it, now or when it is its turn. Never blocks."""
        with self._lock:
            self._waiting.append((request, pending))
            if len(self._waiting) == 1:
                self._hand_over_next()

    def answered(self, pending: Pending) -> None:
        """To be called once for each request, with whatever end it took: the next may go."""
        failed: list[tuple[Any, Pending]] = []
        with self._lock:
            self._load -= self._out.pop(pending, 0)
            if self._waiting and not self._is_live():
                # Given to kazoo now, they would write into a socket pair that nobody reads.
                failed = list(self._waiting)
                self._waiting.clear()
            self._hand_over_next()
        for _, each in failed:
            each.set_exception(self._lost())

    def _hand_over_next(self) -> None:
        """As many as there is room for. With the lock: they stay in order."""
        while self._waiting:
            request, pending = self._waiting[0]
            weight = getattr(request, "weight", 1)
            if self._out and self._load + weight > self._limit:
                return
            self._waiting.popleft()
            self._out[pending] = weight
            self._load += weight
            self._hand_over(request, pending)

    def oldest(self) -> float | None:
        """When the request that has waited longest for its reply was made."""
        with self._lock:
            return next((pending.started for pending in self._out), None)

    def __len__(self) -> int:
        """How many are in kazoo's hands."""
        return self._load
