"""The shards of the configuration in force: which slot each is meant for, and how it does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.policy import reports, sharding


class Roster:
    """Owned by the supervisor's loop. `assignment` is what shall be, not who holds what yet."""

    def __init__(self) -> None:
        self.shards: dict[str, messages.Shard] = {}
        self.assignment: dict[str, str] = {}
        self.reports: dict[str, messages.ShardReport] = {}
        # Those that were in order at least once.
        self.settled: set[str] = set()

    def reshape(self, cfg: models.Config, usable: Callable[[], int]) -> tuple[str, ...]:
        """Take the shards and slots of this configuration; the shards that changed their slot."""
        before = self.assignment
        self.shards = {shard.id: shard for shard in sharding.shards(cfg)}
        self.assignment = sharding.assign(self.shards, sharding.slots(cfg, usable), before)
        self.reports = {
            shard: self.reports.get(shard) or reports.waiting(shard) for shard in self.shards
        }
        self.settled &= self.shards.keys()
        return tuple(s for s, slot in self.assignment.items() if before.get(s, slot) != slot)

    def unknown(self, shards: Iterable[str]) -> list[str]:
        return [shard for shard in shards if shard not in self.shards]

    def of(self, shards: Iterable[str]) -> tuple[messages.Shard, ...]:
        return tuple(self.shards[shard] for shard in shards)

    def heard(self, report: messages.ShardReport) -> bool:
        """Note what a mirror says; False for a shard that is not ours any more."""
        if report.id not in self.shards:
            return False
        self.reports[report.id] = report
        if reports.is_settled(report):
            self.settled.add(report.id)
        return True

    def let_go(self, shard: str) -> None:
        """The shard's mirror stopped, and the next one has not reported yet."""
        if shard in self.reports:
            self.reports[shard] = reports.released(self.reports[shard])

    def orphan(self, shard: str, slot: str, code: int | None, trace_id: str | None = None) -> None:
        """The shard's worker ended unasked."""
        self.reports[shard] = reports.orphaned(self.reports[shard], slot, code, trace_id)
