"""The last quarter of an hour of each shard, in bounded memory: what the page draws.

All shards share one clock of ticks, so a sample is a place in a ring of floats and nothing more:
500 shards take about a megabyte. Between two ticks it looks more often and keeps the worst lag,
since a pause of two seconds is just what a person would miss (of a thousand shards each two: no
more often is there a new view of so many).
"""

from __future__ import annotations

import array
import collections
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zk2etcd import conditions, messages
from zk2etcd.view import published

SCHEMA_VERSION = 1
EVERY = 4.0
"""Seconds between two samples."""
SAMPLES = 225
"""How many are kept: 15 minutes of them."""
FULL_SYNCS = 5
"""How many completed bases and full syncs are kept of each shard."""
_LOOK = 1.0


@dataclasses.dataclass(frozen=True)
class Series:
    """One shard's samples, oldest first, NaN where nothing is known.

    `lag`: the worst of the interval, in seconds. `rate`: keys put and deleted a second.
    `progress`: how far the base or full sync is, 0 to 1. `full_syncs`: the last ones, newest last.
    """

    lag: Sequence[float]
    rate: Sequence[float]
    progress: Sequence[float]
    full_syncs: tuple[conditions.FullSyncResult, ...]


@dataclasses.dataclass(frozen=True)
class Recent:
    """Samples `first`, `first` + 1, ...; `at` says when each ended, in wall-clock seconds."""

    first: int
    at: Sequence[float]
    shards: Mapping[str, Series]


class History:
    """Belongs to one thread, or is locked by its owner: it has no lock of its own."""

    def __init__(self) -> None:
        self._ticks = 0
        self._at = array.array("d", [0.0]) * SAMPLES
        self._tracks: dict[str, _Track] = {}
        self._look_at = -math.inf
        self._sample_at: float | None = None

    def observe(self, shards: Iterable[published.ShardView], wall_now: float, now: float) -> None:
        """Look at all shards, if it is time to; `now` is monotonic. What is not among them any
        more is forgotten."""
        if now < self._look_at:
            return
        self._look_at = now + _LOOK
        known = self._tracks
        self._tracks = {}
        for shard in shards:
            track = known.get(shard.id) or _Track(shard.report.written, now)
            track.look(shard.report, wall_now)
            self._tracks[shard.id] = track
        if self._sample_at is None:
            self._sample_at = now + EVERY
        elif now >= self._sample_at:
            self._sample(wall_now, now)

    def recent(self, after: int | None = None) -> Recent:
        """What came after the sample of this number; with None the newest sample alone."""
        start = self._ticks - 1 if after is None else after + 1
        # A number from before a restart of the supervisor says nothing: then all of it.
        start = max(0, self._ticks - SAMPLES, start if start <= self._ticks else 0)
        return Recent(
            first=start,
            at=self._cut(self._at, start),
            shards={
                shard: Series(
                    lag=self._cut(track.lag, start),
                    rate=self._cut(track.rate, start),
                    progress=self._cut(track.progress, start),
                    full_syncs=tuple(track.full_syncs),
                )
                for shard, track in self._tracks.items()
            },
        )

    def _sample(self, wall_now: float, now: float) -> None:
        place = self._ticks % SAMPLES
        self._at[place] = wall_now
        for track in self._tracks.values():
            track.sample(place, now)
        self._ticks += 1
        self._sample_at = now + EVERY

    def _cut(self, ring: array.array[float], start: int) -> array.array[float]:
        if start >= self._ticks:
            return ring[:0]
        low, high = start % SAMPLES, (self._ticks - 1) % SAMPLES + 1
        return ring[low:high] if low < high else ring[low:] + ring[:high]


class _Track:
    """One shard: its rings, and what was seen since the last sample."""

    def __init__(self, written: int, now: float) -> None:
        self.lag, self.rate, self.progress = (array.array("f", [math.nan]) * SAMPLES for _ in "123")
        self.full_syncs: collections.deque[conditions.FullSyncResult] = collections.deque(
            maxlen=FULL_SYNCS
        )
        self._worst = self._share = math.nan
        self._seen = self._counted = written
        self._since = now

    def look(self, report: messages.ShardReport, wall_now: float) -> None:
        if report.synced_at is not None:
            age = max(0.0, wall_now - report.synced_at)
            self._worst = age if math.isnan(self._worst) else max(self._worst, age)
        self._share = _share(report)
        if report.written < self._seen:  # another mirror, which counts from 0
            self._counted -= self._seen
        self._seen = report.written
        last = report.last_full_sync
        known = self.full_syncs[-1] if self.full_syncs else None
        if last is None or last is known:
            return
        if last == known:  # It was told again: compared once, not each second.
            self.full_syncs.pop()
        self.full_syncs.append(last)

    def sample(self, place: int, now: float) -> None:
        self.lag[place] = self._worst
        self.progress[place] = self._share
        elapsed = now - self._since
        self.rate[place] = (self._seen - self._counted) / elapsed if elapsed > 0 else math.nan
        self._worst = math.nan
        self._counted, self._since = self._seen, now


def _share(report: messages.ShardReport) -> float:
    done, total = report.progress
    runs = report.phase == "full_sync" or report.full_sync_running
    return min(1.0, done / total) if runs and total else math.nan


def document(recent: Recent, instance: str) -> dict[str, Any]:
    """The /history document; times in wall-clock seconds, null where nothing is known.

    `next` is what to ask for as `after`; it means something to this `instance` only.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "instance": instance,
        "every_seconds": EVERY,
        "samples": SAMPLES,
        "first": recent.first,
        "next": recent.first + len(recent.at) - 1,
        "at": _numbers(recent.at),
        "shards": {
            shard: {
                "lag": _numbers(series.lag),
                "rate": _numbers(series.rate),
                "progress": _numbers(series.progress),
                "full_syncs": [dataclasses.asdict(each) for each in series.full_syncs],
            }
            for shard, series in recent.shards.items()
        },
    }


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 3) for value in values]
