"""What every part of one shard's mirror works with."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from zk2etcd import messages, metrics
from zk2etcd.config import mirroring, models
from zk2etcd_workers import turn
from zk2etcd_workers.belonging import conflicts as all_conflicts, marks as belonging
from zk2etcd_workers.drift import ranges
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.model import guard, mapping
from zk2etcd_workers.model.live import last, waiting
from zk2etcd_workers.ownership import fence, reads as shared_reads, records
from zk2etcd_workers.shard import grants, ring
from zk2etcd_workers.walk import beside, etcd_keys, glance, marked, oldest, shelf, sizing
from zk2etcd_workers.walk.predicted import walk as predicted
from zk2etcd_workers.zookeeper import session as sessions

_Limits = mirroring.DeleteGuard
_Mapping = mapping.Mapping


@dataclasses.dataclass(frozen=True)
class Context:
    """The shard, its two sides, and its pulse. `trace_id` is bound in `log` too: a start with its
    base, or a full sync. `dry_run`: own nothing, write nothing. `released`:
    how many deletes a person allowed for this one run, whatever the guard says; `grants`: the
    release of a trip, as it came from the supervisor; `epoch`: the session's, to which all reads
    must belong, since another connection may lead to another ensemble; `watch_told`: its
    server says, when asked, whether our watch stands; `since`: the zxid of a `sync` on it; if
    `resumed`, the one since which it was asked what has changed;
    `watched_at`: when the watch was asked for, monotonic;
    `ring`: where the next mark of what is written goes; `siblings`: how many buckets of the
    prefix the worker has, which read etcd off the same `shelves`; `glances`: at ZooKeeper, by those
    that start together; `shares`: the supervisor knows of
    other owners; `waiting`: deletes that were seen live and are not written yet; `kept`: those that
    are not, since each is of the last key of its folder; `drift`: its place among those whose
    ranges are watched for strangers' changes; `marks`: by which it is known what is ours, None
    where all of the range is; `conflicts`: what is not, and should be."""

    shard: messages.Shard
    mapping: mapping.Mapping
    config: models.Config
    session: sessions.Session
    etcd: etcd.Client
    reads: shared_reads.Reads
    fence: fence.Fence
    keys: records.Keys
    instruments: metrics.Instruments
    turn: turn.Turn
    log: Any
    trace_id: str = ""
    dry_run: bool = False
    released: int | None = None
    epoch: int | None = None
    watch_told: bool = False
    since: int = 0
    resumed: bool = False
    watched_at: float = 0.0
    grants: grants.Grants = dataclasses.field(default_factory=grants.Grants)
    ring: ring.Ring = dataclasses.field(default_factory=ring.Ring)
    oldest: oldest.Oldest = dataclasses.field(default_factory=oldest.Oldest)
    siblings: int = 1
    shelves: shelf.Shelves | None = None
    glances: glance.Glances | None = None
    shares: bool = False
    waiting: waiting.Waiting = dataclasses.field(default_factory=waiting.Waiting)
    kept: last.Kept = dataclasses.field(default_factory=last.Kept)
    drift: ranges.Seat | None = None
    marks: belonging.Marks | None = None
    conflicts: all_conflicts.Conflicts = dataclasses.field(default_factory=all_conflicts.Conflicts)

    @property
    def root(self) -> bytes:
        return self.mapping.source

    def walk(
        self, largest: int | None = None, seen: glance.Seen = glance.NOTHING
    ) -> predicted.Walk:
        """A walk of the shard's subtree; for both see `snapshot.Walk`."""
        return predicted.Walk(
            self.session,
            self.mapping,
            self.turn,
            skip_ephemeral=self.skips_ephemerals,
            read_batch=self.config.zookeeper.read_batch,
            patience=self.config.zookeeper.request_timeout,
            largest=largest,
            epoch=self.epoch,
            walks=self.siblings,
            seen=seen,
        )

    @functools.cached_property
    def ours(self) -> _Mapping:
        """By which what is ours in etcd can be counted, and named: the keys, or their marks."""
        return _Mapping.of(self.shard, self.marks.base) if self.marks else self.mapping

    def reader(
        self,
        party: str = "",
        *,
        yields: bool = False,
        learns: bool = False,
        met: marked.Meets | None = None,
    ) -> beside.Reader:
        """What etcd has, for a walk. Walks of one `party` see it at one moment, which is after the
        shard became ours: no other owner has written since.

        :param learns: see `marked.Reader`, and for `met`: by default it becomes known here.
        :raises errors.EtcdError: etcd did not answer.
        """
        pause = self.turn.pause
        if self.marks is not None:
            met = met or all_conflicts.Found(self.conflicts, self.log)
            sides = self.etcd, self.mapping, self.marks, met
            return marked.Reader(*sides, pause, yields=yields, learns=learns)
        if self.shelves is None or self.siblings == 1 or not self.fence.token:
            return etcd_keys.Reader(self.etcd, self.mapping, pause, yields=yields)
        token = self.fence.token
        return self.shelves.reader(self.mapping, party, token, pause, yields=yields)

    def count(self) -> int:
        """How many keys a bucket has now; as it is since the shard was taken, and has written
        nothing yet."""
        if self.shelves is None or self.siblings == 1 or not self.fence.token:
            return etcd_keys.number(self.etcd, self.ours, self.turn.pause)
        return self.shelves.numbers.of(self.ours, self.fence.token, self.turn.pause)

    def traced(self, trace_id: str, **fields: object) -> Context:
        """This context for work of its own, whose log lines carry `trace_id` and `fields`."""
        log = self.log.try_unbind("cause").bind(trace_id=trace_id, **fields)
        return dataclasses.replace(self, log=log, trace_id=trace_id)

    def but(self, **fields: Any) -> Context:
        """This context, with other values of these."""
        return dataclasses.replace(self, **fields)

    def ask_size(self, told: Callable[[int], None]) -> None:
        """See `sizing.ask`."""
        sizing.ask(self.session, self.mapping, told)

    @property
    def delete_guard(self) -> _Limits:
        """The limits that hold for this shard."""
        return guard.share(self.config.sync.delete_guard, self.mapping.buckets)

    @property
    def grace(self) -> float:
        """Seconds that a delete of an ephemeral waits."""
        return self.config.sync.ephemeral_grace

    @property
    def skips_ephemerals(self) -> bool:
        return self.config.sync.ephemeral == "skip"
