"""Releases that a person asked for and no worker is known to have acted on.

A worker may be dead without our knowing, or die before its base comes to the deletes. Whoever
asked was told that it will be done, so the release stays here while its trip stands, and is told
once to each worker that mirrors the shard. What it allows is the worker's to check: this trip, and
no more deletes than were shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

from zk2etcd import messages

KEPT = 600.0
"""Seconds after which nobody expects it any more: they have to look again."""

Worker = tuple[str, int]
"""A slot and an incarnation of it."""


@dataclasses.dataclass(frozen=True)
class _Open:
    order: messages.Release
    told: Worker
    until: float


class Releases:
    """Owned by the supervisor's loop; times are monotonic."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}

    def take(self, order: messages.Release, told: Worker, now: float) -> None:
        """This worker was just told; a later release of a shard replaces an earlier one."""
        self._open[order.shard] = _Open(order, told, now + KEPT)

    def keep(self, shards: Collection[str]) -> None:
        """Forget those of shards that are not configured any more."""
        self._open = {shard: each for shard, each in self._open.items() if shard in shards}

    @property
    def open(self) -> frozenset[str]:
        """The shards of which one is not done yet."""
        return frozenset(self._open)

    def heard(
        self, report: messages.ShardReport, worker: Worker, now: float
    ) -> messages.Release | None:
        """What the worker that reports this must be told, if anything."""
        found = self._open.get(report.id)
        if found is None:
            return None
        if now > found.until or _is_over(report, found.order.trip):
            del self._open[report.id]
            return None
        if found.told == worker or not report.owned or report.guard is None:
            return None
        self._open[report.id] = dataclasses.replace(found, told=worker)
        return found.order


def _is_over(report: messages.ShardReport, trip: str) -> bool:
    """The trip does not stand any more, or is another supervisor's to release."""
    if report.guard is not None:
        return report.guard.id != trip
    # A worker that starts over knows of the trip again when its base has begun.
    return report.phase == "following" or (not report.owned and report.holder is not None)
