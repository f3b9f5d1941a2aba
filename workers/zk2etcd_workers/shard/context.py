"""What every part of one shard's mirror works with, and what they tell of it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

from zk2etcd import messages, metrics
from zk2etcd.config import mirroring, models
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.model import guard, mapping, tree
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.shard import grants, unsyncable
from zk2etcd_workers.walk import course, sizing, snapshot
from zk2etcd_workers.zookeeper import session as sessions

_UNSYNCABLE_SHOWN = 100
_Limits = mirroring.DeleteGuard


@dataclasses.dataclass(frozen=True)
class Context:
    """The shard, its two sides, and its pulse. `trace_id` is bound in `log` too: a start with its
    base, or a full sync. `dry_run`: own nothing, write nothing. `released`:
    how many deletes a person allowed for this one run, whatever the guard says; `grants`: the
    release of a trip, as it came from the supervisor; `epoch`: the session's, to which all reads
    must belong, since another connection may lead to another ensemble."""

    shard: messages.Shard
    mapping: mapping.Mapping
    config: models.Config
    session: sessions.Session
    etcd: etcd.Client
    fence: fence.Fence
    keys: records.Keys
    instruments: metrics.Instruments
    turn: turn.Turn
    log: Any
    trace_id: str = ""
    dry_run: bool = False
    released: int | None = None
    epoch: int | None = None
    grants: grants.Grants = dataclasses.field(default_factory=grants.Grants)

    @property
    def root(self) -> bytes:
        return self.mapping.source

    def walk(self, largest: int | None = None) -> snapshot.Walk:
        """A walk of the shard's subtree; for `largest` see `snapshot.Walk`."""
        return snapshot.Walk(
            self.session,
            self.mapping,
            self.turn,
            skip_ephemeral=self.skips_ephemerals,
            read_batch=self.config.zookeeper.read_batch,
            patience=self.config.zookeeper.request_timeout,
            largest=largest,
            epoch=self.epoch,
        )

    def traced(self, trace_id: str, **fields: object) -> Context:
        """This context for work of its own, whose log lines carry `trace_id` and `fields`."""
        log = self.log.try_unbind("cause").bind(trace_id=trace_id, **fields)
        return dataclasses.replace(self, log=log, trace_id=trace_id)

    def ask_size(self, told: Callable[[int], None]) -> None:
        """See `sizing.ask`."""
        sizing.ask(self.session, self.mapping, told)

    @property
    def delete_guard(self) -> _Limits:
        """The limits that hold for this shard."""
        return guard.share(self.config.sync.delete_guard, self.mapping.buckets)

    @property
    def skips_ephemerals(self) -> bool:
        return self.config.sync.ephemeral == "skip"


class Facts:
    """What a shard says of itself. Written by its threads, read by the worker's; plain attributes,
    each replaced whole. `trace_id` is that of the base or full sync that runs, or ran last."""

    def __init__(self) -> None:
        self.phase: messages.Phase = "waiting"
        self.owned = False
        self.holder: str | None = None
        self.course: course.Course | None = None
        self.walked = (0, 0)
        """Nodes that the last whole walk found, and keys wanted by it."""
        self.written = 0
        self.keys = 0
        self.pending = 0
        self.zxid = 0
        self.synced_at: float | None = None
        self.largest: int | None = None
        self.guard: messages.Guard | None = None
        self.pause: messages.Paused | None = None
        self.ordered = ""
        self.last_full_sync: messages.FullSyncResult | None = None
        self.full_sync_running = False
        self.trace_id = ""
        self.error: str | None = None
        self.error_trace_id: str | None = None
        self.refusal: str | None = None
        self.attempt = 0
        self.retry_at: float | None = None
        self.unsyncable = unsyncable.Unsyncable()

    def completed(self, took: float, put: int, delete: int) -> None:
        """A base or full sync ended well."""
        sequence = self.last_full_sync.sequence + 1 if self.last_full_sync else 1
        self.last_full_sync = messages.FullSyncResult(
            sequence, time.time(), took, put, delete, self.trace_id
        )
        self.full_sync_running = False

    def expected(self) -> int:
        """How many nodes a walk will find, by the last one and the keys made and deleted since; 0
        if there was none."""
        nodes, keys = self.walked
        return max(0, nodes + self.keys - keys) if nodes else 0

    def _progress(self) -> tuple[int, int]:
        """While no walk runs: that of one that is about to begin, or of the last."""
        if self.full_sync_running or self.phase == "full_sync":
            return 0, self.expected()
        return self.walked[0], self.walked[0]

    def report(self, shard: str, protocol: str | None) -> messages.ShardReport:
        shown = [
            messages.Unsyncable(tree.shown(path), reason)
            for path, reason in self.unsyncable.sample(_UNSYNCABLE_SHOWN)
        ]
        following, running = self.phase == "following", self.course
        return messages.ShardReport(
            id=shard,
            phase="guarded" if following and self.guard is not None else self.phase,
            owned=self.owned,
            holder=self.holder,
            protocol=protocol,
            progress=self._progress() if running is None else running.progress,
            keys=self.keys,
            pending=self.pending,
            zxid=self.zxid,
            synced_at=self.synced_at,
            unsyncable=tuple(shown),
            unsyncable_total=len(self.unsyncable),
            guard=self.guard,
            pause=self.pause,
            ordered=self.ordered,
            last_full_sync=self.last_full_sync,
            full_sync_running=self.full_sync_running,
            error=self.error,
            refusal=self.refusal,
            attempt=self.attempt,
            retry_at=self.retry_at,
            error_trace_id=self.error_trace_id if self.error is not None else None,
            work=None if running is None else running.work,
            written=self.written,
        )
