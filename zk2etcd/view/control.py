"""What the admin side may see of, and ask from, the running supervisor.

The HTTP server runs in threads of its own; the supervisor's state belongs to its loop alone. So
the loop publishes an immutable `View` once a turn, and what is asked comes back to it as a
request that it carries out itself. Neither side knows the other's insides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from zk2etcd import messages

if TYPE_CHECKING:
    from zk2etcd.view import history

State = Literal["starting", "ready", "standby", "degraded", "stopping"]
WorkerState = Literal["starting", "running", "backoff", "stopping", "stopped"]


class UnknownShard(KeyError):
    """No shard of this id in the configuration in force. `ids` are those that are not known."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"no such shard: {', '.join(ids)}")
        self.ids = tuple(ids)


class Conflict(RuntimeError):
    """What is asked speaks of a state that is not so, or not so any more."""


class Unavailable(RuntimeError):
    """The supervisor is stopping, or its loop did not take the request in time."""


@dataclasses.dataclass(frozen=True)
class ReloadResult:
    """How a reload ended. `error` says why the running configuration was kept, one fault a line.

    `changed` are the dotted keys that differ, also of a refused reload that got as far as that.
    """

    ok: bool
    error: str | None = None
    changed: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class ConfigView:
    """Where the running configuration came from; `error` is the last reload's, None when good.

    `loaded_at` in wall-clock seconds; `sha256` of the content in force, not of a refused one.
    `trace_id` stands in the log lines about the last reload, None before any.
    """

    path: str
    loaded_at: float
    sha256: str
    error: str | None = None
    trace_id: str | None = None


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


@dataclasses.dataclass(frozen=True)
class ShardView:
    """One shard of the configuration in force and what its mirror last said.

    Before a mirror's first report, and after its worker died, `report` is one of phase "waiting"
    or "error" made by the supervisor. `worker` is the slot meant to mirror it, None while no
    worker can. `next_full_sync_at` in wall-clock seconds, None when the schedule is off.
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


@dataclasses.dataclass(frozen=True)
class View:
    """The whole supervisor at one turn of its loop; times in wall-clock seconds.

    `last_turn_age` is seconds since the loop last turned (monotonic), measured at the call of
    `Control.snapshot`, so it is true also when the loop hangs. `reloads` counts by result, "ok"
    and "error". `settings` is the configuration in force as plain data, secrets redacted.
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


class Control(Protocol):
    """The running supervisor, from any thread."""

    def snapshot(self) -> View:
        """The latest view; never blocks on the loop."""
        ...

    def recent(self, after: int | None) -> history.Recent:
        """What was sampled after the sample `after`; with None the newest sample alone."""
        ...

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        """Ask for a full sync of these shards now, of all with None; the ids accepted.

        Raises UnknownShard or, for one that is paused, Conflict, and then asks for none;
        Unavailable. With None those that are paused are left out.
        """
        ...

    def request_release(self, shard: str, trip: str, by: str) -> messages.Guard:
        """Let the deletes that this trip of the shard's guard holds happen, once; `by` says who
        asks. Returns the trip as it stands.

        Raises UnknownShard; Conflict when no trip stands, or another one, or when the shard is
        paused; Unavailable.
        """
        ...

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """Have these shards paused, all with None; `by` says who asks. The ids that will be: they
        are once their phase says so.

        Raises UnknownShard; Conflict, for one that another supervisor owns; Unavailable.
        """
        ...

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        """End the pause of these shards, of all that are paused with None; the ids that will be
        mirrored again.

        Raises UnknownShard; Conflict, for one that is not paused; Unavailable.
        """
        ...

    def request_reload(self) -> ReloadResult:
        """Read the configuration again; returns when that is done. Raises Unavailable."""
        ...

    def set_log_level(self, level: str) -> None:
        """Change the level of every process until the next reload that changes it.

        Raises ValueError for a level other than debug, info, warning and error; Unavailable.
        """
        ...


class Server(Protocol):
    """A running admin server; `address` is the host:port that it bound."""

    address: str

    def close(self) -> None: ...


# Binds the admin address and serves in threads of its own from then on; called before any worker
# is started. Raises errors.StartError when it cannot bind.
Serve = Callable[[Control], Server]
