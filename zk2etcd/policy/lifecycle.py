"""The life of one worker slot as a pure state machine over `(state, event, now)`.

No clock, no process: whoever owns those feeds events in and carries the actions out. Deadlines
are values of the monotonic clock, so each rule about time can be tested without waiting.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import random

from zk2etcd import backoff
from zk2etcd.config import models

# The restarts that come at once before the first delay, and the uptime that forgets them all.
IMMEDIATE_RESTARTS = 3
QUIET_SECONDS = 60.0
# A spawned interpreter imports grpc and kazoo before it can report; on a busy machine that takes
# long, and killing it for that would only repeat it.
START_GRACE = 30.0

# The state does not depend on it: without jitter the delay draws no luck.
_NO_LUCK = random.Random(0)


class State(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"


class Action(enum.Enum):
    """What the owner of the process does now. Kill may come again until the exit is seen."""

    SPAWN = "spawn"
    DRAIN = "drain"
    KILL = "kill"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The slot has shards to mirror."""


@dataclasses.dataclass(frozen=True)
class Unwanted:
    """The slot has none any more, or everything stops."""


@dataclasses.dataclass(frozen=True)
class Reported:
    """A heartbeat came; `oldest_turn` seconds before it the slowest mirror last turned."""

    oldest_turn: float = 0.0


@dataclasses.dataclass(frozen=True)
class Exited:
    """The process was reaped."""


@dataclasses.dataclass(frozen=True)
class Hurry:
    """Stop at once: the second signal."""


@dataclasses.dataclass(frozen=True)
class Stalled:
    """The supervisor itself did not run for `seconds` (a frozen container): blame no worker."""

    seconds: float


@dataclasses.dataclass(frozen=True)
class Tick:
    """Time passed."""


Event = Wanted | Unwanted | Reported | Exited | Hurry | Stalled | Tick


@dataclasses.dataclass(frozen=True)
class Policy:
    """The times of `workers` in the configuration, in seconds."""

    restart: backoff.Backoff
    heartbeat_timeout: float
    stop_timeout: float
    start_grace: float = START_GRACE


def policy(workers: models.Workers) -> Policy:
    """The policy of this configuration."""
    delays = workers.restart_backoff
    return Policy(
        restart=backoff.Backoff(delays.min, delays.max, IMMEDIATE_RESTARTS, jitter=0.0),
        heartbeat_timeout=workers.heartbeat_timeout,
        stop_timeout=workers.stop_timeout,
    )


@dataclasses.dataclass(frozen=True)
class Worker:
    """One slot. `incarnation` counts its processes from 1, 0 before the first.

    `since` is when the state began, `spawned_at` when the process did, `heard_at` when all its
    mirrors were last known to turn. `excused_at` is the end of the last time in which nobody ran:
    workers that were frozen with us report the age of their turns after it.
    `deadline` is when BACKOFF ends or STOPPING turns to a kill.
    `failures` counts exits in a row without a quiet minute, `restarts` all restarts ever.
    """

    state: State = State.STOPPED
    since: float = 0.0
    incarnation: int = 0
    spawned_at: float = 0.0
    heard_at: float = 0.0
    excused_at: float = -math.inf
    deadline: float | None = None
    failures: int = 0
    restarts: int = 0

    @property
    def alive(self) -> bool:
        """There is a process."""
        return self.state in (State.STARTING, State.RUNNING, State.STOPPING)


Step = tuple[Worker, tuple[Action, ...]]


def transition(worker: Worker, event: Event, now: float, rules: Policy) -> Step:  # noqa: PLR0911
    """The worker after the event, and what to do. An event that does not concern it is ignored."""
    match event:
        case Wanted() if worker.state is State.STOPPED:
            return _spawned(worker, now), (Action.SPAWN,)
        case Unwanted() if worker.state is State.BACKOFF:
            return _entered(worker, State.STOPPED, now), ()
        case Unwanted() if worker.state in (State.STARTING, State.RUNNING):
            deadline = now + rules.stop_timeout
            return _entered(worker, State.STOPPING, now, deadline), (Action.DRAIN,)
        case Reported(oldest_turn):
            return _reported(worker, oldest_turn, now), ()
        case Exited() if worker.alive:
            return _exited(worker, now, rules), ()
        case Hurry() if worker.alive:
            hurried = _entered(worker, State.STOPPING, worker.since, now)
            return hurried, (Action.KILL,)
        case Stalled(seconds) if worker.alive:
            return _forgiven(worker, seconds, now), ()
        case Tick():
            return _ticked(worker, now, rules)
        case _:
            return worker, ()


def hung_for(worker: Worker, now: float, rules: Policy) -> float | None:
    """Seconds of silence of a worker that is to be killed for it, None for one in good time."""
    if worker.state is State.STARTING:
        silence, limit = now - worker.spawned_at, rules.start_grace
    elif worker.state is State.RUNNING:
        silence, limit = now - worker.heard_at, rules.heartbeat_timeout
    else:
        return None
    return silence if silence > limit else None


def wakes_at(worker: Worker, rules: Policy) -> float | None:
    """When a `Tick` may next change something, None when only another event can."""
    if worker.state is State.STARTING:
        return worker.spawned_at + rules.start_grace
    if worker.state is State.RUNNING:
        return worker.heard_at + rules.heartbeat_timeout
    return worker.deadline


def _entered(worker: Worker, state: State, now: float, deadline: float | None = None) -> Worker:
    return dataclasses.replace(worker, state=state, since=now, deadline=deadline)


def _spawned(worker: Worker, now: float) -> Worker:
    return dataclasses.replace(
        _entered(worker, State.STARTING, now),
        incarnation=worker.incarnation + 1,
        spawned_at=now,
        heard_at=now,
    )


def _reported(worker: Worker, oldest_turn: float, now: float) -> Worker:
    if worker.state is State.STARTING:
        worker = _entered(worker, State.RUNNING, now)
    if worker.state is not State.RUNNING:
        return worker
    turned_at = max(now - max(0.0, oldest_turn), worker.excused_at)
    return dataclasses.replace(worker, heard_at=turned_at)


def _exited(worker: Worker, now: float, rules: Policy) -> Worker:
    """Every exit that was not asked for is a failure, one with status 0 too."""
    if worker.state is State.STOPPING:
        return dataclasses.replace(_entered(worker, State.STOPPED, now), failures=0)
    quiet = now - worker.spawned_at >= QUIET_SECONDS
    failures = 1 if quiet else worker.failures + 1
    retry_at = now + rules.restart.delay(failures, _NO_LUCK)
    return dataclasses.replace(_entered(worker, State.BACKOFF, now, retry_at), failures=failures)


def _forgiven(worker: Worker, seconds: float, now: float) -> Worker:
    return dataclasses.replace(
        worker,
        heard_at=min(now, worker.heard_at + seconds),
        spawned_at=min(now, worker.spawned_at + seconds),
        excused_at=now,
    )


def _ticked(worker: Worker, now: float, rules: Policy) -> Step:
    if hung_for(worker, now, rules) is not None:
        return worker, (Action.KILL,)
    if worker.deadline is None or now < worker.deadline:
        return worker, ()
    if worker.state is State.BACKOFF:
        restarted = dataclasses.replace(_spawned(worker, now), restarts=worker.restarts + 1)
        return restarted, (Action.SPAWN,)
    return worker, (Action.KILL,)
