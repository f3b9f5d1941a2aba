"""What a worker tells of a shard's state, and of the work that is done for it.

These travel in reports (`messages`), and in orders to whoever follows; some stand in etcd, too. All
are frozen, small and picklable. Times are wall-clock seconds (`time.time()`).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

GuardKind = Literal["deletes", "identity"]
WorkKind = Literal["base", "full_sync"]


@dataclasses.dataclass(frozen=True)
class Unsyncable:
    path: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Guard:
    """A standing trip of the guard. `since` in wall-clock seconds. `kind`: "deletes" are held, or
    the ensemble's "identity" is in doubt, and nothing at all is written. `creates`: how many nodes
    came in the places where the deletes are. `live`: deletes that are seen live are held, too."""

    id: str
    reason: str
    deletes: int
    present: int
    sample: tuple[str, ...]
    since: float
    kind: GuardKind = "deletes"
    creates: int = 0
    live: bool = False


@dataclasses.dataclass(frozen=True)
class Kept:
    """Keys that stay although their nodes are gone, each the last below a folder that is there: a
    person may let them go by this `id`. `deletes`: how many there are; `since`: since when there
    is any, in wall-clock seconds."""

    id: str
    deletes: int
    sample: tuple[str, ...]
    since: float


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
class Drift:
    """Where it is watched what strangers write: why something of it may not be known, None if all
    is; how many of their changes were put right since the shard follows; how many keys somebody
    keeps writing, and the `paths` of a few."""

    why: str | None
    repaired: int
    contested: int
    paths: tuple[str, ...]


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
