"""The shards of the configuration in force: which slot each is meant for, how it does, and when it
is compared. Which worker holds what yet is `handover`'s, since a worker outlives what it is told.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Hashable, Iterable

from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.policy import reports, schedule, sharding


class Roster:
    """Owned by the supervisor's loop. `assignment` is what shall be, not who holds what yet."""

    def __init__(self) -> None:
        self.shards: dict[str, messages.Shard] = {}
        self.assignment: dict[str, str] = {}
        self.reports: dict[str, messages.ShardReport] = {}
        # Those that were in order at least once.
        self.settled: set[str] = set()
        self.schedule = schedule.Schedule()
        self._home: object = None
        self.down_since: dict[str, float] = {}
        """Monotonic: since when a shard is not in order; a start that fails again ends it not."""

    def reshape(self, cfg: models.Config, usable: Callable[[], int], now: float) -> None:
        """Take the shards and slots of this configuration; what is unaffected stays."""
        before = self.assignment
        self.shards = {shard.id: shard for shard in sharding.shards(cfg)}
        self.assignment = sharding.assign(self.shards, sharding.slots(cfg, usable), before)
        self.reports = {
            shard: self.reports.get(shard) or reports.waiting(shard) for shard in self.shards
        }
        self.settled &= self.shards.keys()
        home = cfg.etcd.endpoints, cfg.etcd.cluster_id, cfg.state.prefix
        if home != self._home:  # what stood in another etcd says nothing of this one
            self._home = home
            self.reports = {
                shard: dataclasses.replace(report, mark=None)
                for shard, report in self.reports.items()
            }
        every, at_once = cfg.sync.full_sync_interval, cfg.sync.full_sync_concurrency
        self.schedule = schedule.reshaped(
            self.schedule, self.shards, every, at_once, now, self._groups()
        )
        for shard, slot in self.assignment.items():
            if before.get(shard, slot) != slot:
                self.unschedule(shard)

    def _groups(self) -> dict[str, Hashable]:
        """The buckets of one prefix on one slot."""
        return {
            shard.id: (shard.source, shard.target, self.assignment[shard.id])
            for shard in self.shards.values()
            if shard.buckets > 1
        }

    def look(self, now: float) -> list[messages.ShardReport]:
        """What is known of all; from here on, since when those that are down are so (monotonic)."""
        self.down_since = {
            shard: self.down_since.get(shard, now)
            for shard, report in self.reports.items()
            if not reports.is_settled(report)
        }
        return list(self.reports.values())

    def of(self, shards: Iterable[str]) -> tuple[messages.Shard, ...]:
        return tuple(self.shards[shard] for shard in shards)

    def inherited(self, shards: Iterable[str]) -> dict[str, messages.Inherited]:
        """What is known of those of these shards that no worker has."""
        found = {shard: reports.inheritance(self.reports[shard]) for shard in shards}
        return {shard: each for shard, each in found.items() if each is not None}

    def heard(self, report: messages.ShardReport, now: float) -> bool:
        """Note what a mirror says; False for a shard that is not ours any more."""
        if report.id not in self.shards:
            return False
        self.show(report)
        self.schedule = schedule.reported(self.schedule, report.id, report, now)
        return True

    def synced(self, report: messages.Report) -> None:
        """Of the shards that the worker has nothing to tell of but how fresh they are."""
        if (moment := report.synced_at) is None:
            return
        told = {each.id for each in report.shards}
        for shard in report.held:
            known = self.reports.get(shard)
            if shard not in told and known is not None and known.synced_at != moment:
                self.reports[shard] = known.fresh_until(moment)

    def show(self, report: messages.ShardReport) -> None:
        """From now on this is what is known of its shard, one of ours."""
        self.reports[report.id] = report
        if reports.is_settled(report):
            self.settled.add(report.id)

    def ask(self, shards: Iterable[str], now: float) -> None:
        """These are to have a full sync now."""
        self.schedule = schedule.asked(self.schedule, shards, now)

    def due(self, now: float) -> list[tuple[str, ...]]:
        """The shards whose full sync is to start now, and counts as started from here on: those
        together that are of one group."""
        self.schedule, due = schedule.due(self.schedule, now)
        groups = itertools.groupby(due, self.schedule.group)
        return [tuple(shards) for _, shards in groups]

    def unschedule(self, shard: str) -> None:
        """The shard's mirror ended, and with it the full sync that it may have been at."""
        self.schedule = schedule.lost(self.schedule, shard)

    def let_go(self, shard: str) -> None:
        """The shard's mirror stopped, and the next one has not reported yet."""
        if shard in self.reports:
            self.reports[shard] = reports.released(self.reports[shard])

    def orphan(self, shard: str, slot: str, code: int | None, trace_id: str | None = None) -> None:
        """The shard's worker ended unasked."""
        self.reports[shard] = reports.orphaned(self.reports[shard], slot, code, trace_id)
