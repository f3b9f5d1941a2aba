"""What is kept of memory that nobody uses: by Python in circles, by the C library once it is freed.

glibc raises, with each large block that is freed, the size from which on a block goes back to the
system (mallopt(3), M_MMAP_THRESHOLD: up to 32 MiB), and gives threads heaps of their own: after a
listing of 30 MB, or values of 1 MB, most of it would stay with the process, in pieces.
"""

from __future__ import annotations

import ctypes
import gc
import traceback

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8

_LARGE = 512 * 1024
"""Above what is read from a socket at once, which comes and goes all the time."""
_SPARE = 8 * 1024 * 1024
_HEAPS = 2
_SWEEP_EVERY = 5.0
_AFTER = 1.0
"""Seconds from a failure to its sweep, in which nothing else turns: the next attempt goes first."""


def settle() -> None:
    """Have large blocks go back to the system when they are freed. Before there are threads; it
    does nothing where the C library knows no such settings (musl)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _SPARE)
        mallopt(_M_ARENA_MAX, _HEAPS)


def sweep() -> None:
    """Give back what an attempt that failed has left behind; some ten milliseconds."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Sweeper:
    """Sees to it that attempts which fail one after another leave nothing behind, whatever it was
    that failed."""

    def __init__(self) -> None:
        self._failures, self._at = 0, 0.0
        self._noticed: float | None = None

    def tend(self, now: float, failures: int) -> None:
        """:param failures: how many there were until now."""
        if failures == self._failures:
            return
        self._noticed = now if self._noticed is None else self._noticed
        if now - self._noticed > _AFTER and now - self._at > _SWEEP_EVERY:
            self._failures, self._at, self._noticed = failures, now, None
            sweep()


def forget(error: BaseException | None) -> None:
    """Let go of what a failed attempt worked with. An error refers to its frames, those to a reply,
    and the reply to the error: a circle, which keeps a listing of any size until Python's garbage
    collector has seen enough objects, however large they are."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
