"""Which shards a worker tells of in a report: those of which there is something to tell.

Of a thousand that nothing happens to, all that changes is until when they are known to be fresh,
and that is the same moment for all of them.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence
from typing import NamedTuple

EVERY = 0.5
"""Seconds from one report to the next."""
_QUIET, _COST = 1.0, 0.003
"""The same at most, while little happens: looking at many shards takes no more than this share of a
processor."""
_AGAIN = 20
"""Reports within which each shard is told of once in any case; one of so many is few."""


class State(NamedTuple):
    """`turns`: how often its thread has turned, None while it is about something; while they stay
    the same nothing else has changed than `synced_at`, in wall-clock seconds."""

    shard: str
    turns: int | None
    synced_at: float | None


class News:
    """What was told, from one report to the next."""

    def __init__(self) -> None:
        self._told: dict[str, State] = {}
        self._count = 0
        self.is_quiet = False
        """The last time it was the same shards, and to nearly all of them nothing had happened."""

    def rest(self, cost: float) -> float:
        """Seconds until the next report, after one that took so many of a processor."""
        return min(max(EVERY, cost / _COST), _QUIET) if self.is_quiet else EVERY

    def of(self, states: Sequence[State]) -> tuple[set[str], float | None]:
        """The shards to tell of; and until when all others are fresh, None if there are none."""
        self._count += 1
        same = [
            (at, state)
            for at, state in enumerate(states)
            if state.turns is not None
            and (told := self._told.get(state.shard)) is not None
            and told.turns == state.turns
        ]
        busy = len(states) - len(same)
        self.is_quiet = busy <= len(states) // _AGAIN and len(states) == len(self._told)
        quiet = [state for at, state in same if (at + self._count) % _AGAIN]
        common = _most_common(state.synced_at for state in quiet)
        others = {state.shard for state in quiet if state.synced_at == common}
        self._told = {state.shard: state for state in states}
        return {state.shard for state in states} - others, common


def _most_common(moments: Iterable[float | None]) -> float | None:
    found = collections.Counter(moment for moment in moments if moment is not None)
    return max(found, key=lambda moment: found[moment], default=None)
