"""How long a walk rests before it asks etcd for its next page. Pure.

A walk is in no hurry, and others use the same etcd. So it reads no more keys a second than was
configured; and where an answer took much longer than it usually takes for so many bytes, etcd has
other work to do, or our own reads are what it has: then a walk beside live changes leaves it as
much time as it just took.
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
one for an etcd that is slow."""


class Allowance:
    """At most `per_second` keys (None: no bound), over all walks of a worker."""

    def __init__(self, per_second: int | None) -> None:
        self.per_second = per_second
        self._free_at = 0.0

    def most(self, limit: int) -> int:
        """How many keys a page may have."""
        return limit if self.per_second is None else min(limit, self.per_second)

    def spent(self, keys: int, now: float) -> float:
        """Seconds to rest at `now` (monotonic), after so many keys were read."""
        if self.per_second is None:
            return 0.0
        self._free_at = max(self._free_at, now) + keys / self.per_second
        return self._free_at - now


class Yielding:
    """What one walk knows of how fast etcd answers."""

    def __init__(self) -> None:
        self._usual = 0.0

    def saw(self, size: int, took: float) -> float:
        """Seconds to rest after an answer of `size` bytes that took so long."""
        each = took / (size + _OVERHEAD)
        usual = self._usual or each
        self._usual = min(usual * _FORGETS, each)
        slow = took > _SHORT and each > _SLOW * usual
        return min(took, _LONGEST) if slow else 0.0
