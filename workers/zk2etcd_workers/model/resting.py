"""How long a full sync rests before it asks etcd for its next page. Pure.

It is in no hurry, and others use the same etcd. Where an answer took much longer than it usually
takes for so many bytes, etcd has other work to do, or our own reads are what it has, or only the
machine is busy, which looks the same: then it leaves etcd as much time as the answer took. But it
rests for no more of its time than it works, whatever the answers seem to say.
"""

from __future__ import annotations

_SLOW = 4.0
"""Times what is usual."""

_FORGETS = 1.02
"""The best answer counts for less with each one after it: a line may become slower for good."""

_OVERHEAD = 64 * 1024
"""An answer of nothing takes as long as so many bytes."""

_SHORT = 0.02
_LONGEST = 1.0
"""Seconds: a page that took no longer than the first disturbs nobody; no rest is longer than this
one."""


class Yielding:
    """What one walk knows of how fast etcd answers, and how long it has rested for that."""

    def __init__(self, now: float) -> None:
        """:param now: monotonic seconds."""
        self._began = now
        self._rested = 0.0
        self._usual = 0.0

    def saw(self, size: int, took: float, now: float) -> float:
        """Seconds to rest after an answer of `size` bytes that took so long."""
        each = took / (size + _OVERHEAD)
        usual = self._usual or each
        self._usual = min(usual * _FORGETS, each)
        if took <= _SHORT or each <= _SLOW * usual:
            return 0.0
        worked = now - self._began - self._rested
        rest = max(0.0, min(took, _LONGEST, worked - self._rested))
        self._rested += rest
        return rest
