"""Which shards a worker tells of in a report: those of which there is something to tell.

Of a thousand that nothing happens to, all that changes is until when they are known to be fresh,
and that is the same moment for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

EVERY = 0.5
"""Seconds from one report to the next."""
_SOON, _SOON_COST = 0.05, 0.01
"""The same where a shard has come to what a person may wait for; telling takes no more than this
share of a processor then."""
_QUIET, _COST = 1.0, 0.003
"""The same at most, while little happens: looking at many shards takes no more than this share of a
processor."""
_AGAIN, _MANY = 20, 100
"""Reports within which each shard is told of once in any case; three times as many where there are
so many shards, as that is most of what telling costs then."""
_FEW = 20
"""Nothing happens to nearly all of them, if it does to no more than one of so many."""


class Times:
    """When a worker reports; monotonic seconds."""

    def __init__(self) -> None:
        self._at = self._soonest = 0.0
        self._hurried = math.inf

    def hurry(self) -> None:
        """A shard has come to what a person may wait for. What comes to others meanwhile is told
        with it."""
        self._hurried = self._soonest

    def until_hurried(self, now: float) -> float:
        """Seconds until a report that should not wait; infinite if there is none."""
        return max(self._hurried - now, 0.0)

    def expect(self, now: float) -> None:
        """Something was ordered: rest no longer than while much happens."""
        self._at = min(self._at, now + EVERY)

    def is_due(self, now: float) -> bool:
        return now >= min(self._at, self._hurried)

    def told(self, now: float, rest: float, cost: float) -> None:
        """:param rest: seconds, see `News.rest`; `cost`: of a processor, that the report took."""
        self._at, self._hurried = now + rest, math.inf
        self._soonest = now + min(max(_SOON, cost / _SOON_COST), EVERY)


class State(NamedTuple):
    """`turns`: how often its thread has turned, None while it is about something; while they stay
    the same nothing else has changed than `synced_at`, in wall-clock seconds."""

    shard: str
    turns: int | None
    synced_at: float | None


class News:
    """What was told, from one report to the next."""

    def __init__(self) -> None:
        self._told: dict[str, int | None] = {}
        self._count = 0
        self.is_quiet = False
        """The last time it was the same shards, and to nearly all of them nothing had happened."""

    def rest(self, cost: float) -> float:
        """Seconds until the next report, after one that took so many of a processor."""
        return min(max(EVERY, cost / _COST), _QUIET) if self.is_quiet else EVERY

    def of(self, states: Sequence[State]) -> tuple[set[str], float | None]:
        """The shards to tell of; and until when all others are fresh, None if there are none."""
        self._count += 1
        count, told = self._count, self._told
        again = _AGAIN if len(states) <= _MANY else 3 * _AGAIN
        turns_of: dict[str, int | None] = {}
        tell: set[str] = set()
        quiet: dict[float | None, list[str]] = {}
        busy = 0
        for at, (shard, turns, synced_at) in enumerate(states, count):
            turns_of[shard] = turns
            if turns is None or told.get(shard) != turns:
                busy += 1
                tell.add(shard)
            elif at % again == 0:
                tell.add(shard)
            else:
                quiet.setdefault(synced_at, []).append(shard)
        self.is_quiet = busy * _FEW <= len(states) == len(told)
        self._told = turns_of
        common = max(quiet.keys() - {None}, key=lambda moment: len(quiet[moment]), default=None)
        for moment in quiet.keys() - {common}:
            tell.update(quiet[moment])
        return tell, common
