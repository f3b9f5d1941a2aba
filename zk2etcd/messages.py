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

from zk2etcd import acts, census, conditions
from zk2etcd.config import models

Phase = Literal["waiting", "full_sync", "following", "guarded", "paused", "error"]
_SLUG_LENGTH = 40
Mark = tuple[bytes, int, int]
"""What etcd has acknowledged of a shard: its checkpoint, the revision of that, the last token."""


@dataclasses.dataclass(frozen=True)
class Shard:
    """One zk prefix (or one bucket of it) as a unit of assignment.

    `id` is a slug of `from` plus 8 hex digits of sha256(from, to, bucket/buckets): safe in URLs
    and metric labels. `exclude` holds patterns of the ZooKeeper paths below `source` that are not
    mirrored, `only`, unless it is empty, of those that alone are. `ownership`: whether all keys
    in its range are its own, or those that it has marked.
    """

    id: str
    source: str
    target: str
    exclude: tuple[str, ...] = ()
    bucket: int = 0
    buckets: int = 1
    only: tuple[str, ...] = ()
    ownership: Literal["range", "marks"] = "range"


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
    supervisor met at these endpoints, "" for none yet. `shares`: no shard is meant for it that
    another supervisor has."""

    identity: Identity
    config: models.Config
    multiproc_dir: str
    log_level: str
    once: bool = False
    dry_run: bool = False
    trace_id: str = ""
    cluster: str = ""
    shares: bool = False


# --- supervisor -> worker -----------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Inherited:
    """What a shard's last worker said, by which the next finds whether etcd was put back since."""

    mark: Mark
    guard: conditions.Guard | None = None
    pause: conditions.Paused | None = None


@dataclasses.dataclass(frozen=True)
class Assign:
    """The whole set of shards that the worker shall mirror from now on; it makes the diff.

    `reaped` says, for each slot, the highest incarnation that the supervisor has seen dead: owner
    keys of those may be taken over at once. It only ever grows, so an old copy is safe.
    `config` carries the settings in force; shards whose settings changed are restarted.
    `trace_id` is the reload's that this comes of, "" when it comes of none. `inherited`, by shard:
    what is known of those whose worker ended. `keeps`: this worker puts our key among the members,
    and reads who else is there, once it was told what the key says (`Standing`).
    """

    generation: int
    shards: tuple[Shard, ...]
    reaped: Mapping[str, int]
    config: models.Config
    trace_id: str = ""
    inherited: Mapping[str, Inherited] = dataclasses.field(default_factory=dict)
    keeps: bool = False


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


@dataclasses.dataclass(frozen=True)
class Standing:
    """What our key among the members says from now on. `member` as others shall see it, but for
    `healthy`, which the worker knows; `config`: the digest of what members' configurations should
    have alike (`config.sharing.alike`). To be said again several times within `state.lease_ttl`:
    the key of a supervisor that gives no sign for that long is deleted."""

    member: census.Member
    config: str = ""
    version: str = ""


@dataclasses.dataclass(frozen=True)
class Offers:
    """Do these, each in a Txn of its own that compares what it was decided by, and never again: the
    next census tells what came of it."""

    wanted: tuple[acts.MakeOffer | acts.TakeOffer | acts.Withdraw, ...]


Command = Assign | FullSync | Release | Pause | Resume | SetLogLevel | Drain | Standing | Offers


# --- worker -> supervisor -----------------------------------------------------------------------


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
    `token`: the owner key's, 0 without one. `drift`: None where it is not watched what strangers
    write. `conflicts`: how many nodes have somebody else's key in their place, `conflict_paths`:
    some of them. `kept`: which keys stay as the last of their folders.
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
    unsyncable: tuple[conditions.Unsyncable, ...] = ()
    unsyncable_total: int = 0
    guard: conditions.Guard | None = None
    last_full_sync: conditions.FullSyncResult | None = None
    full_sync_running: bool = False
    error: str | None = None
    refusal: str | None = None
    attempt: int = 0
    retry_at: float | None = None
    work: conditions.Work | None = None
    written: int = 0
    error_trace_id: str | None = None
    pause: conditions.Paused | None = None
    ordered: str = ""
    orphaned: bool = False
    started_over: conditions.StartedOver | None = None
    ensemble: conditions.Ensemble | None = None
    mark: Mark | None = None
    token: int = 0
    drift: conditions.Drift | None = None
    conflicts: int = 0
    conflict_paths: tuple[str, ...] = ()
    kept: conditions.Kept | None = None

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
    not None. `narrow` are the lines that carry little, and how many bytes at once. `let_go`: of
    which shards etcd has said since the last report that their owner key is not ours, each with the
    revision, 0 if it never was. `untold`: why etcd does not tell who else is there;
    `refusal`: why this release may not take part.
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
    let_go: Mapping[str, int] = dataclasses.field(default_factory=dict)
    untold: str | None = None
    refusal: str | None = None


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Who is there and what each has, as etcd said `age_seconds` before it was sent, to the worker
    that had carried out the Assign of this `generation`."""

    found: census.Census
    age_seconds: float
    generation: int
