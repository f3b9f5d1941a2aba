"""Keys that somebody keeps writing: each is put right again, and each time later. Pure.

Two writers of one key that both put it right at once would write it for ever, as fast as etcd takes
it, and neither is told. The first two times nobody waits: a person corrects a mistake, say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_AT_ONCE = 2
_FIRST, _LONGEST = 0.5, 60.0
_PEACE = 60.0
"""After so long without a repair, or twice its delay, a key is like any other."""
FROM = 1.0
"""Keys that wait so long are contested."""
_MOST = 10_000


class _Known(NamedTuple):
    times: int
    at: float

    @property
    def delay(self) -> float:
        late = self.times - _AT_ONCE
        return 0.0 if late < 0 else min(_FIRST * 2 ** min(late, 10), _LONGEST)

    def is_over(self, now: float) -> bool:
        return now - self.at > max(_PEACE, 2 * self.delay)


class Contested:
    """Of one shard, by path. Times are monotonic."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[bytes, _Known] = {}

    def due(self, path: bytes, now: float) -> float:
        """From when on it may be put right."""
        known = self._known.get(path)
        if known is None or known.is_over(now):
            return now
        return max(now, known.at + known.delay)

    def repaired(self, path: bytes, now: float) -> float:
        """It was put right, or was to be; for how long it waits the next time."""
        known = self._known.pop(path, None)
        times = 1 if known is None or known.is_over(now) else known.times + 1
        # Behind all others: the first ones were repaired longest ago.
        self._known[path] = made = _Known(times, now)
        if len(self._known) > self._most:
            del self._known[next(iter(self._known))]
        return made.delay

    def forget(self, now: float) -> None:
        """Those that were left in peace."""
        for path, known in list(self._known.items()):
            if now - known.at <= _PEACE:
                return
            if known.is_over(now):
                del self._known[path]

    def now(self) -> Iterator[bytes]:
        """Those that wait, longest untouched first."""
        return (path for path, known in self._known.items() if known.delay >= FROM)
