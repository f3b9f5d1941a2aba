"""What the supervisor shows of itself: pure, from its parts to a `published.View`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from zk2etcd import messages
from zk2etcd.policy import lifecycle, schedule
from zk2etcd.supervisor import fleet
from zk2etcd.view import published


class Roster(Protocol):
    """As `roster.Roster`."""

    shards: dict[str, messages.Shard]
    assignment: dict[str, str]
    reports: dict[str, messages.ShardReport]


# A tree so large that its base takes longer is no reason to look unborn.
STARTING_SECONDS = 60.0


def state(
    reports: Collection[messages.ShardReport],
    backing_off: bool,
    settled: Collection[str],
    uptime: float,
) -> published.State:
    """Of a supervisor that is not stopping. `settled` are the shards that were once in order.

    `starting` until each shard was settled or is in error, or for STARTING_SECONDS. `degraded`:
    a shard is in error or guarded, or a worker waits for its restart. `standby`: another owns
    all.
    """
    undecided = [r for r in reports if r.id not in settled and r.phase != "error"]
    if undecided and uptime < STARTING_SECONDS:
        return "starting"
    if backing_off or any(r.phase in ("error", "guarded") or r.guard for r in reports):
        return "degraded"
    if reports and not any(r.owned for r in reports) and all(_stands_by(r) for r in reports):
        return "standby"
    return "ready"


def is_settled(report: messages.ShardReport) -> bool:
    """The shard is in order, or another supervisor's."""
    return report.phase in ("following", "guarded", "paused") or _stands_by(report)


def backing_off(slots: Iterable[fleet.Slot]) -> bool:
    return any(slot.life.state is lifecycle.State.BACKOFF for slot in slots)


def workers(
    slots: Iterable[fleet.Slot],
    assignment: Mapping[str, str],
    usage: Mapping[str, tuple[int, float]],
    now: float,
) -> tuple[published.WorkerView, ...]:
    """The slots that have shards or a process. `usage`: slot -> (resident bytes, CPU seconds)."""
    shards: dict[str, list[str]] = {}
    for shard, slot in assignment.items():
        shards.setdefault(slot, []).append(shard)
    return tuple(
        _worker(slot, tuple(shards.get(slot.name, ())), usage.get(slot.name), now)
        for slot in slots
        if slot.child is not None or slot.name in shards
    )


def shards(
    roster: Roster, plan: schedule.Schedule, now: float, wall_now: float
) -> tuple[published.ShardView, ...]:
    """The shards of the configuration in force, in its order; `now` is monotonic."""
    return tuple(
        _shard(shard, roster, schedule.next_at(plan, shard.id), now, wall_now)
        for shard in roster.shards.values()
    )


def waiting(shard: str) -> messages.ShardReport:
    """What is known of a shard before its mirror first reports."""
    return messages.ShardReport(id=shard, phase="waiting")


def released(report: messages.ShardReport) -> messages.ShardReport:
    """A shard between two workers: nobody mirrors it; how fresh it was stays true."""
    return dataclasses.replace(
        report,
        phase="waiting",
        owned=False,
        holder=None,
        full_sync_running=False,
        work=None,
        pending=0,
        error=None,
        error_trace_id=None,
        attempt=0,
        retry_at=None,
    )


def orphaned(
    report: messages.ShardReport, slot: str, code: int | None, trace_id: str | None = None
) -> messages.ShardReport:
    """A shard whose worker ended unasked; how fresh it was stays true."""
    return dataclasses.replace(
        report,
        phase="error",
        owned=False,
        full_sync_running=False,
        work=None,
        pending=0,
        error=f"worker {slot} ended with {fleet.describe(code)}; it is restarted",
        error_trace_id=trace_id,
    )


def _stands_by(report: messages.ShardReport) -> bool:
    return report.phase == "waiting" and report.holder is not None


def _shard(
    shard: messages.Shard, roster: Roster, due_at: float | None, now: float, wall_now: float
) -> published.ShardView:
    return published.ShardView(
        id=shard.id,
        source=shard.source,
        target=shard.target,
        worker=roster.assignment.get(shard.id),
        report=roster.reports[shard.id],
        next_full_sync_at=None if due_at is None else wall_now + due_at - now,
        full_sync_due=due_at is not None and due_at <= now,
        bucket=shard.bucket,
        buckets=shard.buckets,
    )


def _worker(
    slot: fleet.Slot, shards: tuple[str, ...], usage: tuple[int, float] | None, now: float
) -> published.WorkerView:
    age = None
    if slot.report is not None and slot.heard_at is not None:
        age = now - slot.heard_at + slot.report.oldest_turn_seconds
    memory, cpu = usage or (None, None)
    return published.WorkerView(
        slot=slot.name,
        pid=slot.child.pid if slot.child is not None else None,
        state=slot.life.state.value,
        restarts=slot.life.restarts,
        last_exit=slot.last_exit,
        heartbeat_age_seconds=age if slot.child is not None else None,
        resident_bytes=memory,
        cpu_seconds=cpu,
        zk_connected=bool(slot.child and slot.report and slot.report.zk_connected),
        shards=shards,
        trace_id=slot.trace_id,
    )
