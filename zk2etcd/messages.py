"""The values that cross the pipe between the supervisor and a worker.

All are frozen, small and picklable; none knows how it travels. The supervisor sends `Command`s, a
worker sends `Report`s. Times that leave the host are wall-clock seconds (`time.time()`), since
each process has a monotonic clock origin of its own to worry about; ages are in seconds.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from typing import Literal

from zk2etcd.config import models

Phase = Literal["waiting", "full_sync", "following", "guarded", "paused", "error"]
GuardKind = Literal["deletes", "identity"]
WorkKind = Literal["base", "full_sync"]
_SLUG_LENGTH = 40
Mark = tuple[bytes, int, int]
"""What etcd has acknowledged of a shard: its checkpoint, the revision of that, the last token."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One zk prefix (or one bucket of it) as a unit of assignment.

    `id` is a slug of `from` plus 8 hex digits of sha256(from, to, bucket/buckets): safe in URLs
    and metric labels. `exclude` holds the ZooKeeper paths below `source` that are not mirrored.
    """

    id: str
    source: str
    target: str
    exclude: tuple[str, ...] = ()
    bucket: int = 0
    buckets: int = 1


def shard_id(source: str, target: str, bucket: int = 0, buckets: int = 1) -> str:
    """The id of a shard, from the config's `from` and `to`. No path holds a NUL, so it separates
    the three that are hashed."""
    identity = "\0".join((source, target, f"{bucket}/{buckets}"))
    digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9]+", "-", source).strip("-")[:_SLUG_LENGTH].strip("-")
    return f"{slug or 'root'}-{digest[:8]}"


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a worker is, as it stands in owner keys. `incarnation` counts from 1 for each slot."""

    instance: str
    slot: str
    incarnation: int
    admin_url: str = ""


@dataclasses.dataclass(frozen=True)
class WorkerSpec:
    """All that a spawned worker needs: one picklable value. `trace_id` stands in each line that is
    logged about this start of it. `cluster`: the id of the etcd cluster that workers of the same
    supervisor met at these endpoints, "" for none yet."""

    identity: Identity
    config: models.Config
    multiproc_dir: str
    log_level: str
    once: bool = False
    dry_run: bool = False
    trace_id: str = ""
    cluster: str = ""


# --- supervisor -> worker -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Inherited:
    """What a shard's last worker said, by which the next finds whether etcd was put back since."""

    mark: Mark
    guard: Guard | None = None
    pause: Paused | None = None


@dataclasses.dataclass(frozen=True)
class Assign:
    """The whole set of shards that the worker shall mirror from now on; it makes the diff.

    `reaped` says, for each slot, the highest incarnation that the supervisor has seen dead: owner
    keys of those may be taken over at once. It only ever grows, so an old copy is safe.
    `config` carries the settings in force; shards whose settings changed are restarted.
    `trace_id` is the reload's that this comes of, "" when it comes of none. `inherited`, by shard:
    what is known of those whose worker ended.
    """

    generation: int
    shards: tuple[Shard, ...]
    reaped: Mapping[str, int]
    config: models.Config
    trace_id: str = ""
    inherited: Mapping[str, Inherited] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FullSync:
    """A full sync of these shards is due now."""

    shards: tuple[str, ...]
    trace_id: str = ""


@dataclasses.dataclass(frozen=True)
class SetLogLevel:
    level: str


@dataclasses.dataclass(frozen=True)
class Drain:
    """Let go of all shards, settle or abandon writes, and exit 0 within `timeout` seconds."""

    timeout: float


@dataclasses.dataclass(frozen=True)
class Release:
    """A person saw the trip `trip` of this shard's guard and lets its deletes happen, once. `by`
    says who, for the log."""

    shard: str
    trip: str
    by: str


@dataclasses.dataclass(frozen=True)
class Pause:
    """Write nothing to this shard from now on, and own it all the same. `by` says who wants it,
    `order` is the id by which a report tells that it was done."""

    shard: str
    by: str
    order: str = ""


@dataclasses.dataclass(frozen=True)
class Resume:
    """End the pause of this shard: it starts over with a base. As for `Pause`."""

    shard: str
    by: str
    order: str = ""


Command = Assign | FullSync | Release | Pause | Resume | SetLogLevel | Drain


# --- worker -> supervisor -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Unsyncable:
    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Guard:
    """A standing trip of the guard. `since` in wall-clock seconds. `kind`: "deletes" are held, or
    the ensemble's "identity" is in doubt, and nothing at all is written. `creates`: how many nodes
    came in the places where the deletes are."""

    id: str
    reason: str
    deletes: int
    present: int
    sample: tuple[str, ...]
    since: float
    kind: GuardKind = "deletes"
    creates: int = 0


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """By what a shard knows its ensemble: the oldest node of those that tell, with its czxid and
    birth (wall-clock seconds), how many there are, and how many marks of what was mirrored."""

    path: str
    zxid: int
    at: float
    nodes: int
    marks: int


@dataclasses.dataclass(frozen=True)
class Paused:
    """A pause that stands, in etcd: who asked for it; `since` in wall-clock seconds."""

    by: str
    since: float


@dataclasses.dataclass(frozen=True)
class FullSyncResult:
    """How the last completed base or full sync ended. `sequence` grows by one for each, and
    `trace_id` stands in each line that was logged about it. `missed`: of how many changes that it
    found no event had told.
    """

    sequence: int
    at: float
    took_seconds: float
    put: int
    delete: int
    trace_id: str = ""
    missed: int = 0


@dataclasses.dataclass(frozen=True)
class StartedOver:
    """When, in wall-clock seconds, and why a shard last took stock again, without being in error:
    events may have been missing. `trace_id` stands in the lines about it."""

    at: float
    reason: str
    trace_id: str = ""


@dataclasses.dataclass(frozen=True)
class Work:
    """How far the base or full sync is that runs now: nodes `read` in ZooKeeper, `compared` with
    etcd, keys `written` so far; `rate` in nodes a second; `remaining_seconds` None if nobody can
    know."""

    kind: WorkKind
    read: int
    compared: int
    written: int
    rate: float
    remaining_seconds: float | None
    trace_id: str = ""


@dataclasses.dataclass(frozen=True)
class ShardReport:
    """One shard as its mirror sees it.

    `progress` is (done, total) in nodes, total 0 when unknown. `zxid` is the checkpoint.
    `synced_at` is the last moment (wall-clock seconds) of which it is proven that everything that
    had changed by then is in etcd (docs/guarantees.md); None before the first. `attempt` counts
    failed starts since the last good one, `retry_at` is when the next one begins (wall clock), None
    when not backing off. `refusal`: why no shard of this configuration may be mirrored by this
    release; the supervisor ends with it.
    `work` is None while neither a base nor a full sync runs; `written` counts the keys put and
    deleted since the mirror started; `error_trace_id` stands in the log lines about `error`.
    `pause` is what etcd knows; only with phase "paused" has everything under way ended. `ordered`
    is the last order to pause or to resume that is done. `protocol_reason`: why classic, where
    bulk would have been preferred. `orphaned`: its worker has ended. `ensemble`: of the last start.
    """

    id: str
    phase: Phase
    owned: bool = False
    holder: str | None = None
    protocol: str | None = None
    protocol_reason: str | None = None
    progress: tuple[int, int] = (0, 0)
    keys: int = 0
    pending: int = 0
    zxid: int = 0
    synced_at: float | None = None
    unsyncable: tuple[Unsyncable, ...] = ()
    unsyncable_total: int = 0
    guard: Guard | None = None
    last_full_sync: FullSyncResult | None = None
    full_sync_running: bool = False
    error: str | None = None
    refusal: str | None = None
    attempt: int = 0
    retry_at: float | None = None
    work: Work | None = None
    written: int = 0
    error_trace_id: str | None = None
    pause: Paused | None = None
    ordered: str = ""
    orphaned: bool = False
    started_over: StartedOver | None = None
    ensemble: Ensemble | None = None
    mark: Mark | None = None

    def fresh_until(self, moment: float) -> ShardReport:
        """The same with this `synced_at`. A worker's thousand shards have another one each second:
        `dataclasses.replace` takes ten times as long."""
        new = object.__new__(ShardReport)
        new.__dict__.update(self.__dict__, synced_at=moment)
        return new


@dataclasses.dataclass(frozen=True)
class Etcd:
    """The endpoint that is asked, and the id of its cluster in hexadecimal, "" until it said so."""

    endpoint: str
    cluster_id: str


@dataclasses.dataclass(frozen=True)
class Report:
    """A worker's heartbeat, sent by the loop that also turns the mirrors.

    `oldest_turn_seconds` is the age of the least recent turn of any mirror's loop, at sending: a
    single hung mirror makes the worker hung. `generation` is the last `Assign` that was carried
    out in full (removed shards let go of); `held` are the shards not let go of yet. Those of them
    that are not in `shards` are as they were told last, but fresh until `synced_at` now, if it is
    not None. `narrow` are the lines that carry little, and how many bytes at once.
    """

    slot: str
    incarnation: int
    generation: int
    held: tuple[str, ...]
    shards: tuple[ShardReport, ...]
    oldest_turn_seconds: float
    zk_connected: bool
    etcd: Etcd | None = None
    synced_at: float | None = None
    narrow: Mapping[str, int] | None = None
