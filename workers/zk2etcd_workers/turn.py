"""A mirror's pulse: every loop and every wait of a shard goes through it.

`beat` proves that the shard's own thread still turns (the supervisor kills a worker in which one
does not), and is where a stop is noticed: no wait is longer than a moment.
"""

from __future__ import annotations

import threading
import time

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


class Turn:
    def __init__(self) -> None:
        self._stop = threading.Event()
        self._interrupted = False
        self._at = time.monotonic()

    def beat(self) -> None:
        """:raises Stopped: the shard was asked to stop; `Interrupted`, once: to start over."""
        self._at = time.monotonic()
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
        """Seconds since the last beat."""
        return time.monotonic() - self._at

    def interrupt(self) -> None:
        """Have the shard's thread start over at its next beat."""
        self._interrupted = True

    def calm(self) -> None:
        """It starts over already."""
        self._interrupted = False

    def stop(self) -> None:
        self._stop.set()

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
