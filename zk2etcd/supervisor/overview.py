"""What the supervisor shows of itself: pure, from its parts to a `published.View`."""

from __future__ import annotations

import collections
from collections.abc import Collection, Iterable, Mapping

from zk2etcd import census, messages
from zk2etcd.policy import lifecycle, reports, roster, schedule
from zk2etcd.supervisor import fleet
from zk2etcd.view import published

# A tree so large that its base takes longer is no reason to look unborn.
STARTING_SECONDS = 60.0


def state(
    latest: Collection[messages.ShardReport],
    backing_off: bool,
    settled: Collection[str],
    uptime: float,
) -> published.State:
    """Of a supervisor that is not stopping. `settled` are the shards that were once in order.

    `starting` until each shard was settled or is in error, or for STARTING_SECONDS. `degraded`:
    a shard is in error or guarded, or a worker waits for its restart. `standby`: another owns
    all.
    """
    undecided = [r for r in latest if r.id not in settled and r.phase != "error"]
    if undecided and uptime < STARTING_SECONDS:
        return "starting"
    if backing_off or any(r.phase in ("error", "guarded") or r.guard for r in latest):
        return "degraded"
    if latest and not any(r.owned for r in latest) and all(reports.stands_by(r) for r in latest):
        return "standby"
    return "ready"


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


def shards(known: roster.Roster, now: float, wall_now: float) -> tuple[published.ShardView, ...]:
    """The shards of the configuration in force, in its order; `now` is monotonic."""
    return tuple(
        _shard(shard, known, _due_at(known, shard.id), now, wall_now)
        for shard in known.shards.values()
    )


def members(seen: census.Census | None) -> tuple[published.Member, ...]:
    """Those that etcd tells of, by name."""
    if seen is None:
        return ()
    owned = collections.Counter(owner.member for owner in seen.owners.values())
    return tuple(
        published.Member(
            name=each.name,
            label=each.label,
            url=each.url,
            version=each.version,
            config=each.config,
            capacity=each.capacity,
            shares=each.shares,
            draining=each.draining,
            healthy=each.healthy,
            failing=tuple(sorted(each.failing)),
            owned=owned[each.name],
        )
        for each in sorted(seen.members.values(), key=lambda each: (each.label, each.name))
    )


def _due_at(known: roster.Roster, shard: str) -> float | None:
    """When its next full sync is due; what another supervisor has is compared there."""
    return schedule.next_at(known.schedule, shard) if shard in known.assignment else None


def _shard(
    shard: messages.Shard, known: roster.Roster, due_at: float | None, now: float, wall_now: float
) -> published.ShardView:
    report = known.reports[shard.id]
    down_since = known.down_since.get(shard.id)
    served = down_since is None or reports.is_served(report)
    return published.ShardView(
        id=shard.id,
        source=shard.source,
        target=shard.target,
        worker=known.assignment.get(shard.id),
        report=report,
        next_full_sync_at=None if due_at is None else wall_now + due_at - now,
        full_sync_due=due_at is not None and due_at <= now,
        bucket=shard.bucket,
        buckets=shard.buckets,
        unserved_seconds=None if served or down_since is None else now - down_since,
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
        etcd=slot.report.etcd if slot.child and slot.report else None,
        narrow=slot.report.narrow if slot.child and slot.report else None,
    )
