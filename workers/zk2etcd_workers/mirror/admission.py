"""How many shards of a worker start at the same moment: a few, and the others in their turn.

Each has a thread, and in Python each thread that waits for its turn wakes up again and again to ask
for it. So more of them than keep one core busy take longer for all of it than those few would, and
few are enough to share their requests (`walk/glance`): for that the next ones come when half
of the places are free. More of them start at once where they wait for far servers.

The worker's own loop tells (`tend`). Where it is late, there is little processor time for all of
this process, and those that start hear their replies late too: their time-outs would only have them
begin again. One after the other is sooner done then.

Nobody waits for one that takes long for another reason: after a moment it does not count any more.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from zk2etcd_workers import turn

_USUAL = 16
_CROWD = 8
_MOST = 32
_LEAST = 1
_LATE = 0.3
"""Seconds that a turn of the worker's loop takes beyond its wait, if there is too much to do."""
_BUSY, _HASTE = 0.5, 0.05
"""Of a core, and seconds: if this process uses less of it, and is no later than that, those that
start wait for servers."""
_MOMENT = 2.0
_LONG = 60.0
"""The same while the loop is late, or has just been: then each takes long."""
_CALM = 5.0
"""Seconds since the loop was late for the last time, after which it is not any more."""
_LOOK = 5.0
"""Seconds after which one who waits looks whether others take long."""


class Admission:
    """Of all shards of one worker; first come, first served."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, None] = {}
        self._admitted: dict[object, float] = {}
        self._most = _USUAL
        self._late_at = -math.inf
        self._is_full = False
        """It was, and half of the places are not free yet."""

    @property
    def is_crowded(self) -> bool:
        """So many want to start that each should leave the interpreter alone for a while."""
        return len(self._waiting) + len(self._admitted) > _CROWD

    def tend(self, late: float, busy: float) -> None:
        """A turn of the worker's loop took so many seconds longer than it waited; `busy`: how much
        of a core the process used meanwhile."""
        now = self._clock()
        with self._lock:
            if late > _LATE:
                self._late_at = now
                if self._admitted:
                    self._most = max(_LEAST, min(self._most, len(self._admitted)) // 2)
                return
            crowded = late > _HASTE or busy > _BUSY or now - self._late_at < _CALM
            if not crowded and (self._waiting or self._most < _USUAL):
                self._most = min(_MOST, 2 * self._most)
            elif crowded:
                self._most = min(_USUAL, self._most + 1)
            self._call()

    def enter(self, who: object, pulse: turn.Turn) -> None:
        """Wait for a place; `leave` gives it up, and may be called by anybody who has none.

        :raises turn.Stopped: the shard was asked to stop, or `turn.Interrupted`.
        """
        called = threading.Event()
        with self._lock:
            self._waiting[called] = None
            self._call()
        try:
            while called in self._waiting:
                with pulse.idle(lambda: True, called.set):
                    called.wait(_LOOK)
                with self._lock:
                    self._call()
        except BaseException:
            with self._lock:
                self._waiting.pop(called, None)
                self._admitted.pop(called, None)
            raise
        with self._lock:
            self._admitted.pop(called, None)
            self._admitted[who] = self._clock()

    def leave(self, who: object) -> None:
        with self._lock:
            self._admitted.pop(who, None)
            self._call()

    def _call(self) -> None:
        """Those whose turn it is; a place is theirs from now on."""
        if not self._waiting:
            return
        now = self._clock()
        since = now - (_LONG if now - self._late_at < _CALM else _MOMENT)
        if self._is_full or len(self._admitted) >= self._most:
            self._admitted = {who: at for who, at in self._admitted.items() if at > since}
        if self._is_full and len(self._admitted) > self._most // 2:
            return
        while self._waiting and len(self._admitted) < self._most:
            called = next(iter(self._waiting))
            del self._waiting[called]
            self._admitted[called] = self._clock()
            called.set()
        self._is_full = len(self._admitted) >= self._most
