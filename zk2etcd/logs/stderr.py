"""Standard error, which nobody may be reading.

Whoever reads it (a container's runtime, a shell's pipe) may be stopped or slow, and a mirror must
not wait for that: a line that finds no room waits for a moment, and is dropped and counted then.
The descriptor is shared with other programs, so it is not made non-blocking itself; where that can
be had, a description of our own is.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator

_FD = 2
ATOMIC = 4096
"""POSIX's least PIPE_BUF, and Linux's: what a pipe takes whole or not at all."""
_LARGE = 1024 * 1024
_SLICE = 0.05
_PATIENT = 0.8


def unblocking() -> int:
    """A descriptor of standard error for who cannot wait: one of our own if it is a pipe."""
    with contextlib.suppress(OSError):
        if stat.S_ISFIFO(os.fstat(_FD).st_mode):
            return _reopened()
    return _FD


def _reopened() -> int:
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    return os.open(f"/proc/self/fd/{_FD}", flags)


class Patience:
    """Seconds that may be spent waiting: `most` at once, and `share` of all time."""

    def __init__(self, clock: Callable[[], float], most: float = 1.0, share: float = 0.05) -> None:
        self._clock, self._most, self._share = clock, most, share
        self._left, self._at = most, clock()

    def left(self) -> float:
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._share)
        self._at = now
        return self._left

    def take(self, share: float) -> None:
        """From now on this share of all time."""
        self._share = share

    def spend(self, seconds: float) -> None:
        self._left -= seconds


class Stderr:
    """Safe to use from several threads. `notice` makes the line that says how many were dropped."""

    def __init__(self, notice: Callable[[int], bytes]) -> None:
        self._notice = notice
        self._lock = threading.Lock()
        self._patience = Patience(time.monotonic)
        self._known: tuple[int, int] | None = None
        self._own: int | None = None
        self._socket: socket.socket | None = None
        self._limit = ATOMIC
        self._polls = False
        self._dropped = 0
        self._torn = False
        """The last line was cut off in the middle: the next one is not to stand behind it."""

    def be_patient(self) -> None:
        """Go at the pace of the reader, as far as he has one: what is said is what this is for."""
        self._patience.take(_PATIENT)

    def write(self, lines: bytes, reserve: float = 0.0) -> None:
        """Write these lines, each whole. Never raises, never waits for more than a second.

        :param reserve: seconds of patience left to others, where these matter less than theirs.
        """
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._look()
            for chunk in _packed(lines, self._limit):
                if count := self._dropped:
                    self._dropped = 0  # it grows if the notice is torn itself
                    if not self._wait(self._notice(count), reserve):
                        self._dropped = count
                if self._dropped or not self._wait(chunk, reserve):
                    self._dropped += chunk.count(b"\n")

    def _wait(self, chunk: bytes, reserve: float) -> bool:
        while not self._put(chunk):
            left = self._patience.left() - reserve
            if left <= 0:
                return False
            began = time.monotonic()
            self._room(min(left, _SLICE))
            self._patience.spend(max(time.monotonic() - began, 0.001))
        return True

    def _look(self) -> None:
        """Somebody may have put another file there since (a test, a log rotation)."""
        found = os.fstat(_FD)
        if (found.st_dev, found.st_ino) == self._known:
            return
        self._forget()
        kind = found.st_mode
        self._limit = _LARGE if stat.S_ISREG(kind) else ATOMIC
        if stat.S_ISSOCK(kind):
            self._socket = socket.socket(fileno=os.dup(_FD))
        elif not stat.S_ISREG(kind):
            try:
                self._own = _reopened()
            except OSError:  # another user's: what remains is to ask before each write
                self._polls = True
        self._known = (found.st_dev, found.st_ino)

    def _forget(self) -> None:
        if self._own is not None:
            os.close(self._own)
        if self._socket is not None:
            self._socket.close()
        self._own = self._socket = self._known = None
        self._polls = self._torn = False

    def _put(self, chunk: bytes) -> bool:
        """False if there is no room for it."""
        try:
            if self._polls and not self._room(0):
                return False
            chunk = b"\n" + chunk if self._torn else chunk
            chunk = chunk[self._send(chunk) :]
        except BlockingIOError:
            return False
        # A terminal or a socket takes a part, a pipe too of a line beyond ATOMIC.
        self._torn = bool(chunk) and not self._rest(chunk)
        self._dropped += self._torn
        return True

    def _rest(self, chunk: bytes) -> bool:
        """Whether all of it went, before patience ended."""
        while chunk and self._patience.left() > 0:
            began = time.monotonic()
            self._room(_SLICE)
            self._patience.spend(max(time.monotonic() - began, 0.001))
            with contextlib.suppress(BlockingIOError):
                chunk = chunk[self._send(chunk) :]
        return not chunk

    def _send(self, chunk: bytes) -> int:
        if self._socket is not None:
            return self._socket.send(chunk, socket.MSG_DONTWAIT)
        return os.write(_FD if self._own is None else self._own, chunk)

    def _room(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(_FD, select.POLLOUT)
        return bool(poll.poll(seconds * 1000))


def _packed(lines: bytes, limit: int) -> Iterator[bytes]:
    """Whole lines, as many as fit into one write; one that is longer, alone."""
    start = 0
    while len(lines) - start > limit:
        end = lines.rfind(b"\n", start, start + limit) + 1 or lines.index(b"\n", start) + 1
        yield lines[start:end]
        start = end
    if start < len(lines):
        yield lines[start:]
