"""The shared schedule of full syncs: pure, a frozen value over monotonic time.

A full sync reads a whole tree from ZooKeeper and a whole range from etcd. Were each worker to
keep its own timer, all would read at once and the servers would feel it. So the supervisor says
who may, a few at a time over all workers, the interval counted from the last completion.

The buckets of a prefix that one worker has are a group: they read the same range of etcd, and read
it once if they are compared together. So they start together, and count as one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Iterable, Mapping

from zk2etcd import messages

# A full sync that was asked for and does not show in the shard's reports for this long was
# forgotten, by a mirror that went back to its base meanwhile: its place is given to another.
START_TIMEOUT = 10.0
# Seconds before a shard that did not start is asked again, so that it does not starve the rest.
ASK_AGAIN = 5.0
# Parts of the interval by which one comes sooner along with others of its group.
_SOON = 0.5


@dataclasses.dataclass(frozen=True)
class Entry:
    """What is known of one shard.

    `sequence` is its last completed base or full sync, None before any. `due_at` is when the next
    is due, None before the first completion. `asked_at` is when one was requested to run now.
    `started_at` is when the worker was told, until the end shows. `running` is what the reports
    say, a base included. `ready` says whether the shard could start one.
    """

    sequence: int | None = None
    due_at: float | None = None
    asked_at: float | None = None
    started_at: float | None = None
    running: bool = False
    ready: bool = False
    completions: int = 0

    @property
    def busy(self) -> bool:
        return self.running or self.started_at is not None


@dataclasses.dataclass(frozen=True)
class Schedule:
    """All shards. `interval` in seconds, 0 for none but those asked for. `groups`: of those that
    are in one with others. `places`: of each group in the interval, from above 0 to 1."""

    entries: Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    interval: float = 300.0
    concurrency: int = 1
    groups: Mapping[str, Hashable] = dataclasses.field(default_factory=dict)
    places: Mapping[Hashable, float] = dataclasses.field(default_factory=dict)

    def group(self, shard: str) -> Hashable:
        return self.groups.get(shard, shard)

    @property
    def busy(self) -> set[Hashable]:
        """The groups of which a shard is at it."""
        return {self.group(shard) for shard, entry in self.entries.items() if entry.busy}

    def with_entry(self, shard: str, entry: Entry) -> Schedule:
        return dataclasses.replace(self, entries={**self.entries, shard: entry})


def reshaped(
    schedule: Schedule,
    shards: Iterable[str],
    interval: float,
    concurrency: int,
    now: float,
    groups: Mapping[str, Hashable] | None = None,
) -> Schedule:
    """The schedule for these shards and settings; what stays keeps its place.

    A shorter interval also pulls in what is due already; a longer one counts from the next
    completion.
    """
    entries = {}
    for shard in shards:
        entry = schedule.entries.get(shard, Entry())
        if entry.due_at is not None:
            entry = dataclasses.replace(entry, due_at=min(entry.due_at, now + interval))
        entries[shard] = entry
    return grouped(Schedule(entries, interval, concurrency), groups or {})


def grouped(schedule: Schedule, groups: Mapping[str, Hashable]) -> Schedule:
    """The same with these groups."""
    order = list(dict.fromkeys(groups.get(shard, shard) for shard in sorted(schedule.entries)))
    places = {group: (at + 1) / len(order) for at, group in enumerate(order)}
    return dataclasses.replace(schedule, groups=groups, places=places)


def reported(schedule: Schedule, shard: str, report: messages.ShardReport, now: float) -> Schedule:
    """The schedule after what a mirror said; an unknown shard changes nothing.

    Any completion counts, a base included: it compares the same.
    """
    entry = schedule.entries.get(shard)
    if entry is None:
        return schedule
    running = report.full_sync_running or report.phase == "full_sync"
    ready = not running and report.phase in ("following", "guarded")
    changed = dataclasses.replace(entry, running=running, ready=ready)
    result = report.last_full_sync
    if result is None:  # a new mirror: it counts from 1 again
        changed = dataclasses.replace(changed, sequence=None)
    if result is not None and result.sequence != entry.sequence:
        changed = _completed(schedule, shard, changed, result.sequence, now)
    elif entry.started_at is not None and _forgotten(changed, entry.running, now):
        changed = dataclasses.replace(changed, started_at=None, due_at=now + ASK_AGAIN)
    return schedule if changed == entry else schedule.with_entry(shard, changed)


def lost(schedule: Schedule, shard: str) -> Schedule:
    """The shard has no worker now: its place is free. The new worker's base makes up for it."""
    entry = schedule.entries.get(shard)
    if entry is None:
        return schedule
    gone = dataclasses.replace(entry, sequence=None, started_at=None, running=False, ready=False)
    return schedule.with_entry(shard, gone)


def asked(schedule: Schedule, shards: Iterable[str], now: float) -> Schedule:
    """These shards shall have a full sync now; one asked for already keeps its turn."""
    entries = dict(schedule.entries)
    for shard in shards:
        entry = entries.get(shard)
        if entry is not None and entry.asked_at is None:
            entries[shard] = dataclasses.replace(entry, asked_at=now)
    return dataclasses.replace(schedule, entries=entries)


def due(schedule: Schedule, now: float) -> tuple[Schedule, tuple[str, ...]]:
    """The shards whose full sync starts now, and the schedule that counts them as started.

    Those asked for go first, then those longest due, while there is room; with each those of its
    group that would be soon.
    """
    busy = schedule.busy
    room = schedule.concurrency - len(busy)
    waiting = sorted(
        (_turn(entry), shard)
        for shard, entry in schedule.entries.items()
        if _may_start(schedule, entry, now) and schedule.group(shard) not in busy
    )
    first = dict.fromkeys(schedule.group(shard) for _, shard in waiting)
    starting = list(first)[: max(0, room)]
    soon = now + schedule.interval * _SOON
    chosen = tuple(
        shard
        for group in starting
        for shard, entry in schedule.entries.items()
        if schedule.group(shard) == group
        and (_may_start(schedule, entry, now) or _may_come_along(schedule, entry, soon))
    )
    for shard in chosen:
        entry = dataclasses.replace(schedule.entries[shard], started_at=now, asked_at=None)
        schedule = schedule.with_entry(shard, entry)
    return schedule, chosen


def next_at(schedule: Schedule, shard: str) -> float | None:
    """When the shard's next full sync is due (monotonic), None when none is."""
    entry = schedule.entries.get(shard)
    if entry is None:
        return None
    if entry.asked_at is not None:
        return entry.asked_at
    return entry.due_at if schedule.interval > 0 else None


def wakes_at(schedule: Schedule) -> float | None:
    """When `due` may next start something without another report, None when it cannot."""
    busy = schedule.busy
    times = [
        due_at
        for shard, entry in schedule.entries.items()
        if entry.ready
        and schedule.group(shard) not in busy
        and (due_at := next_at(schedule, shard)) is not None
    ]
    return min(times, default=None) if schedule.concurrency > len(busy) else None


def _may_start(schedule: Schedule, entry: Entry, now: float) -> bool:
    if not entry.ready or entry.busy:
        return False
    if entry.asked_at is not None:
        return True
    return schedule.interval > 0 and entry.due_at is not None and entry.due_at <= now


def _may_come_along(schedule: Schedule, entry: Entry, soon: float) -> bool:
    return schedule.interval > 0 and _may_start(schedule, entry, soon)


def _turn(entry: Entry) -> tuple[bool, float]:
    asked_for = entry.asked_at is not None
    return not asked_for, (entry.asked_at if asked_for else entry.due_at) or 0.0


def _completed(schedule: Schedule, shard: str, entry: Entry, sequence: int, now: float) -> Entry:
    """First completions come together, at the start; what follows is spread over the interval."""
    share = 1.0
    if entry.completions == 0:
        share = schedule.places[schedule.group(shard)]
    return dataclasses.replace(
        entry,
        sequence=sequence,
        due_at=now + schedule.interval * share,
        started_at=None,
        completions=entry.completions + 1,
    )


def _forgotten(entry: Entry, was_running: bool, now: float) -> bool:
    """It ended without completing, or it never started. `started_at` is set."""
    if entry.running:
        return False
    assert entry.started_at is not None
    return was_running or now - entry.started_at > START_TIMEOUT
