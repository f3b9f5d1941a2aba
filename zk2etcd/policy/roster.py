"""The shards of the configuration in force: which slot each is meant for, how it does, and when it
is compared. Which worker holds what yet is `handover`'s, since a worker outlives what it is told.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
from collections.abc import Callable, Collection, Hashable, Iterable, Set

from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.policy import reports, schedule, sharding


class Roster:
    """Owned by the supervisor's loop. `assignment` is what shall be, not who holds what yet."""

    def __init__(self) -> None:
        self.shards: dict[str, messages.Shard] = {}
        self.assignment: dict[str, str] = {}
        self.slots: tuple[str, ...] = ()
        self.reports: dict[str, messages.ShardReport] = {}
        # Those that were in order at least once.
        self.settled: set[str] = set()
        self.schedule = schedule.Schedule()
        self._home: object = None
        self.shape = 0
        """How often shards and assignment were made anew."""
        self._looked: tuple[schedule.Schedule, float | None] | None = None
        """The schedule as nothing of it was due, and when something may be."""
        self.down_since: dict[str, float] = {}
        """Monotonic: since when a shard is not in order; a start that fails again ends it not."""

    def reshape(
        self,
        cfg: models.Config,
        usable: Callable[[], int],
        now: float,
        wanted: Collection[str] | None = None,
    ) -> None:
        """Take the shards and slots of this configuration; what is unaffected stays.

        :param wanted: those that our workers shall have, if not all; see `place`.
        """
        before = self.assignment
        self.shape += 1
        self.shards = {shard.id: shard for shard in sharding.shards(cfg)}
        self.slots = sharding.slots(cfg, usable)
        mine = [shard for shard in self.shards if wanted is None or shard in wanted]
        self.assignment = sharding.assign(mine, self.slots, before)
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
        for shard, slot in before.items():
            if self.assignment.get(shard) != slot:
                self.unschedule(shard)

    def place(self, wanted: Set[str]) -> None:
        """Our workers shall have exactly these of the shards; the others are other supervisors'.
        What comes finds room beside the rest, which stays where it is."""
        before = self.assignment
        if wanted == before.keys():
            return
        self.shape += 1
        kept = {shard: slot for shard, slot in before.items() if shard in wanted}
        fullest = max(collections.Counter(kept.values()).values(), default=0)
        self.assignment = sharding.assign(wanted, self.slots, kept, fullest)
        for shard in before.keys() - wanted:
            self.unschedule(shard)
        for shard in wanted - before.keys():
            self.let_go(shard)
        self.schedule = schedule.grouped(self.schedule, self._groups())

    def _groups(self) -> dict[str, Hashable]:
        """The buckets of one prefix on one slot."""
        return {
            shard.id: (shard.source, shard.target, self.assignment[shard.id])
            for shard in self.shards.values()
            if shard.buckets > 1 and shard.id in self.assignment
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
        # One that is another supervisor's from now on is still spoken of until it is let go of.
        if report.id in self.assignment:
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
        wakes_at = self.wakes_at() if self._is_looked_at() else now
        if wakes_at is None or now < wakes_at:
            return []
        self.schedule, due = schedule.due(self.schedule, now)
        groups = itertools.groupby(due, self.schedule.group)
        return [tuple(shards) for _, shards in groups]

    def wakes_at(self) -> float | None:
        """When a full sync may be due next without another report (monotonic)."""
        if self._looked is None or self._looked[0] is not self.schedule:
            self._looked = self.schedule, schedule.wakes_at(self.schedule)
        return self._looked[1]

    def _is_looked_at(self) -> bool:
        """Nothing was due of it, as it is: of a thousand shards to see that takes a millisecond."""
        return self._looked is not None and self._looked[0] is self.schedule

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
