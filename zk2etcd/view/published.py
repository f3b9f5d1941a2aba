"""What the supervisor's loop publishes of itself once a turn: values that nobody changes.

The HTTP server runs in threads of its own, while the supervisor's state belongs to its loop alone.
So every answer, gauge and sample is made from one `View`, and none holds the loop up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from zk2etcd import messages

State = Literal["starting", "ready", "standby", "degraded", "stopping"]
WorkerState = Literal["starting", "running", "backoff", "stopping", "stopped"]


@dataclasses.dataclass(frozen=True)
class ConfigView:
    """Where the running configuration came from; `error` is the last reload's, None when good.

    `path` is for people, all `paths` in one. `loaded_at` in wall-clock seconds; `sha256` of what is
    in force, not of a refused one, and of no secret.
    `trace_id` stands in the log lines about the last reload, None before any.
    """

    path: str
    loaded_at: float
    sha256: str
    error: str | None = None
    trace_id: str | None = None
    paths: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class WorkerView:
    """One slot that has shards, or a process. `last_exit` is a signal as -N, None before any.

    `heartbeat_age_seconds` is None until the first report of the process that runs now, memory
    and CPU are None while none runs. `trace_id` stands in the log lines about its last restart.
    """

    slot: str
    pid: int | None
    state: WorkerState
    restarts: int
    last_exit: int | None
    heartbeat_age_seconds: float | None
    resident_bytes: int | None
    cpu_seconds: float | None
    zk_connected: bool
    shards: tuple[str, ...]
    trace_id: str | None = None
    etcd: messages.Etcd | None = None
    narrow: Mapping[str, int] | None = None


@dataclasses.dataclass(frozen=True)
class ShardView:
    """One shard of the configuration in force and what its mirror last said.

    Before a mirror's first report, and after its worker died, `report` is one of phase "waiting"
    or "error" made by the supervisor. `worker` is the slot meant to mirror it, None while no
    worker can. `next_full_sync_at` in wall-clock seconds, None when the schedule is off.
    `unserved_seconds`: for how long it has been out of order, if now nobody mirrors it; else None.
    """

    id: str
    source: str
    target: str
    worker: str | None
    report: messages.ShardReport
    next_full_sync_at: float | None = None
    full_sync_due: bool = False
    bucket: int = 0
    buckets: int = 1
    unserved_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Member:
    """A supervisor of the same state.prefix, as etcd tells (`census.Member`). `owned`: how many
    shards it has, of those too that our configuration does not know."""

    name: str
    label: str = ""
    url: str = ""
    version: str = ""
    config: str = ""
    capacity: int = 1
    shares: bool = True
    draining: bool = False
    healthy: bool = True
    failing: tuple[str, ...] = ()
    owned: int = 0


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Those that share the shards, ourselves among them once our key is there. `untold`: why etcd
    does not tell of them at the moment, if that is so. `unowned`: for how many seconds nobody has a
    shard of ours; `moves`: how many came to us, by reason (`policy.moved`)."""

    members: tuple[Member, ...] = ()
    untold: str | None = None
    unowned: Mapping[str, float] = dataclasses.field(default_factory=dict)
    moves: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def member(self, name: str) -> Member | None:
        return next((each for each in self.members if each.name == name), None)

    def differing(self, name: str) -> tuple[Member, ...]:
        """Those that share with another configuration, or release, than the one of this name."""
        if (us := self.member(name)) is None:
            return ()
        ours = us.config, us.version
        return tuple(m for m in self.members if m.shares and (m.config, m.version) != ours)


@dataclasses.dataclass(frozen=True)
class View:
    """The whole supervisor at one turn of its loop; times in wall-clock seconds.

    `last_turn_age` is seconds since the loop last turned (monotonic), measured at the call of
    `Control.snapshot`, so it is true also when the loop hangs. `reloads` counts by result, "ok"
    and "error". `settings` is the configuration in force as plain data, secrets redacted.
    `metrics_problem` is why new counts cannot be kept in their folder, with its path. `cluster` is
    None of one that does not share its shards.
    """

    version: str
    instance: str
    pid: int
    started_at: float
    state: State
    config: ConfigView
    workers: tuple[WorkerView, ...]
    shards: tuple[ShardView, ...]
    last_turn_age: float
    reloads: Mapping[str, int]
    log_level: str
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics_problem: str | None = None
    cluster: Cluster | None = None
