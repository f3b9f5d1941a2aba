"""A mirror's pulse: every loop and every wait of a shard goes through it.

`beat` proves that the shard's own thread still turns (the supervisor kills a worker in which one
does not), and is where a stop is noticed: no wait is longer than a moment.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

SLICE = 0.25
"""The longest single wait, in seconds, between two beats."""


class Stopped(Exception):
    """Unwinds a shard's thread when it is asked to stop."""


class Interrupted(Exception):
    """Unwinds what a shard's thread is about: it shall start over, since a person asked for it."""


_local = threading.local()


def touch() -> None:
    """Beat for whichever shard's thread this is, without noticing a stop: for waits, such as an
    etcd call with a deadline, that know no shard and must not be cut short."""
    mine: Turn | None = getattr(_local, "turn", None)
    if mine is not None:
        mine.renew()


@contextlib.contextmanager
def holding(lock: threading.Lock) -> Iterator[None]:
    """With this lock, which another thread may have for as long as a call's deadline is."""
    while not lock.acquire(timeout=SLICE):
        touch()
    try:
        yield
    finally:
        lock.release()


class Turn:
    def __init__(self) -> None:
        self._stop = threading.Event()
        self._interrupted = False
        self._beats = 0
        self._idle: Callable[[], bool] | None = None
        self._wake: Callable[[], object] | None = None
        self._at = time.monotonic()

    @property
    def rests(self) -> int | None:
        """How often it has beaten until now, while it is idle; None while it is about something."""
        # In this order: whatever it does after the first makes the second another one.
        return self._beats if self._idle is not None else None

    def beat(self) -> None:
        """:raises Stopped: the shard was asked to stop; `Interrupted`, once: to start over."""
        self._at = time.monotonic()
        self._beats += 1
        if self._stop.is_set():
            raise Stopped
        if self._interrupted:
            self._interrupted = False
            raise Interrupted

    def adopt(self) -> None:
        """The calling thread is the shard's own; `touch` in it means this pulse."""
        _local.turn = self

    def renew(self) -> None:
        self._at = time.monotonic()

    def age(self) -> float:
        """Seconds since the last beat; or since there has been something to do, as far as that was
        noticed by earlier calls of this."""
        idle, now = self._idle, time.monotonic()
        if idle is not None and idle():
            self._at = now
        return max(0.0, now - self._at)

    @contextlib.contextmanager
    def idle(self, nothing: Callable[[], bool], wake: Callable[[], object]) -> Iterator[None]:
        """The shard's thread waits for something to do, for as long as `nothing` is there, however
        long that is; any thread may ask it. `wake` ends the wait: to stop, or to start over."""
        self._idle, self._wake = nothing, wake
        try:
            # Not before it can be woken: it may have been asked a moment ago.
            self.beat()
            yield
        finally:
            self._idle = self._wake = None

    def interrupt(self) -> None:
        """Have the shard's thread start over at its next beat."""
        self._interrupted = True
        self._rouse()

    def calm(self) -> None:
        """It starts over already."""
        self._interrupted = False

    def stop(self) -> None:
        self._stop.set()
        self._rouse()

    def _rouse(self) -> None:
        if (wake := self._wake) is not None:
            wake()

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, beating; ends early with `Stopped` or `Interrupted`."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.beat()
            self._stop.wait(min(left, SLICE))
        self.beat()
