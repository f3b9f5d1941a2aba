"""What one shard says of itself, and the steps in which that changes.

Plain attributes, each replaced whole, so that another thread may read them at any time: which of
them belong together stands here, not at who has something to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from zk2etcd import conditions, messages
from zk2etcd_workers.belonging import conflicts as all_conflicts
from zk2etcd_workers.model import pacing, told
from zk2etcd_workers.shard import unsyncable
from zk2etcd_workers.walk import course, snapshot

_UNSYNCABLE_SHOWN = 100
_CONFLICTS_SHOWN = 20
_FEW = 10


class Facts:
    """What a shard says of itself. Its own thread takes the steps, and a full sync's `found`; the
    worker's reads, and sets `ordered` and `full_sync_running`. `trace_id` is that of the base or
    full sync that runs, or ran last."""

    def __init__(self, conflicts: all_conflicts.Conflicts | None = None) -> None:
        self.phase: messages.Phase = "waiting"
        self.owned = False
        self.holder: str | None = None
        self.course: course.Course | None = None
        self.walked = (0, 0)
        """Nodes that the last whole walk found, and keys wanted by it."""
        self.written = 0
        self.keys = 0
        self.counted: int | None = None
        """What etcd would say, asked for the size of the range at the end of the base, if that is
        known."""
        self.pending = 0
        self.zxid = 0
        self.synced_at: float | None = None
        self._tells_fresh = False
        self._unsized = 0
        self.largest: int | None = None
        self.guard: conditions.Guard | None = None
        self.lost_guard: conditions.Guard | None = None
        """A trip that stood when etcd was found to be put back, and is perhaps not in it."""
        self.kept: conditions.Kept | None = None
        self.pause: conditions.Paused | None = None
        self.ordered = ""
        self.ensemble: conditions.Ensemble | None = None
        self.last_full_sync: conditions.FullSyncResult | None = None
        self.full_sync_running = False
        self.trace_id = ""
        self.error: str | None = None
        self.error_trace_id: str | None = None
        self.blind: str | None = None
        """Why changes may go untold although the shard follows."""
        self.started_over: conditions.StartedOver | None = None
        self.refusal: str | None = None
        self.drift: conditions.Drift | None = None
        self.attempt = 0
        self.retry_at: float | None = None
        self.unsyncable = unsyncable.Unsyncable()
        self.conflicts = all_conflicts.Conflicts() if conflicts is None else conflicts
        self.changed: Callable[[], None] = _nobody
        """Called after each step that a person may be waiting for."""

    def inherit(self, known: messages.Inherited) -> None:
        """What a worker that had the shard before knew to stand in etcd, until that is read."""
        self.guard, self.pause = known.guard, known.pause

    # --- where the shard is ------------------------------------------------------------------

    def waits_for(self, holder: str) -> None:
        """Somebody else owns it, so whether it is paused, or shared, is theirs to say."""
        self.phase, self.holder, self.pause, self.kept = "waiting", holder, None, None
        self.conflicts.clear()
        self.error = self.retry_at = None

    def owns(self) -> None:
        """It is ours, and nobody's else."""
        self.owned, self.holder = True, None

    def is_held(self, trip: conditions.Guard) -> None:
        """Nothing of it is written, until a person has released the trip."""
        self.guard, self.phase, self.full_sync_running = trip, "guarded", False
        self.kept = None
        self.error = self.retry_at = None
        self.changed()

    def rolled_back(self) -> None:
        """etcd has lost what it had acknowledged; what deletes were held for is as it was."""
        if self.guard is not None and self.guard.kind == "deletes":
            self.lost_guard = self.guard

    def rests(self) -> None:
        """Nothing of it is written, until a person resumes it."""
        self.phase, self.full_sync_running, self.pending = "paused", False, 0
        self.kept = None
        self.error = self.retry_at = None
        self.attempt = 0
        self.changed()

    def resumed(self) -> None:
        """It is not paused any more, if it was."""
        if self.phase == "paused":
            self.phase = "waiting"

    def walks(self, trace_id: str) -> None:
        """A base begins; an error stands until the shard follows."""
        self.phase, self.full_sync_running = "full_sync", True
        self.trace_id = trace_id

    def follows(self) -> None:
        """A base ended well, so no error stands any more. That is told as soon as it is known how
        fresh it is, too; or with the next report."""
        self.phase, self.error, self.retry_at = "following", None, None
        self._tells_fresh = True

    def is_fresh(self, moment: float) -> None:
        """All that had changed by then (wall clock) is written; called by any thread."""
        self.synced_at = moment
        if self._tells_fresh:
            self._tells_fresh = False
            self.changed()

    def fails(self, error: str, retry_at: float, trace_id: str) -> None:
        """It waits until `retry_at` (wall clock); an error that repeats keeps the trace id of its
        first."""
        if self.error != error:
            self.error_trace_id = trace_id
        self.phase, self.error, self.retry_at = "error", error, retry_at
        self.changed()

    def goes_blind(self, why: str, trace_id: str) -> None:
        """Changes may go untold from now on, also after a start anew, until it `sees`."""
        self.blind, self.error_trace_id = why, trace_id

    def sees(self) -> None:
        self.blind = None

    def starts_over(self, why: str, trace_id: str) -> None:
        """It was in doubt, and takes stock again at once."""
        self.started_over = conditions.StartedOver(time.time(), why, trace_id)

    # --- what was found and done -------------------------------------------------------------

    @property
    def large(self) -> int | None:
        """The largest value, if that is a large one: after a while in which nobody looked, others
        may be, but small ones prove nothing."""
        return self.largest if (self.largest or 0) > pacing.KNOWN_SMALL else None

    @property
    def sized(self) -> int:
        """How many keys etcd has, if the sizes of their values are known, all but of a few: since
        the last walk they are what nodes have, or had. 0 if not."""
        return self.keys if self._unsized <= _FEW else 0

    def wrote(self, count: int, zxid: int) -> None:
        """A Txn of so many keys was applied, up to this zxid."""
        self.zxid = max(self.zxid, zxid)
        self.written += count

    def found(self, walk: snapshot.Walk, wanted: int, extra: int) -> None:
        """A whole walk ended, by which so many keys are wanted, and so many others are in etcd."""
        self.walked = (walk.nodes, wanted)
        self.largest = walk.largest
        self._unsized = extra + walk.opaque

    def completed(self, took: float, put: int, delete: int, missed: int = 0) -> None:
        """A base or full sync ended well."""
        sequence = self.last_full_sync.sequence + 1 if self.last_full_sync else 1
        self.last_full_sync = conditions.FullSyncResult(
            sequence, time.time(), took, put, delete, self.trace_id, missed
        )
        self.full_sync_running = False
        if self.phase == "following":
            self.changed()

    def expected(self) -> int:
        """How many nodes a walk will find, by the last one and the keys made and deleted since; 0
        if there was none."""
        nodes, keys = self.walked
        return max(0, nodes + self.keys - keys) if nodes else 0

    def _progress(self) -> tuple[int, int]:
        """Of the walk that runs; of one that is about to begin, or of the last."""
        if (running := self.course) is not None:
            return running.progress
        if self.full_sync_running or self.phase == "full_sync":
            return 0, self.expected()
        return self.walked[0], self.walked[0]

    # --- what is told of it ------------------------------------------------------------------

    def _shown(self, error: str | None) -> messages.Phase:
        """A shard that follows may still be in error, or hold deletes."""
        if self.phase != "following":
            return self.phase
        if error is not None:
            return "error"
        return "guarded" if self.guard is not None else "following"

    @property
    def _bad(self) -> unsyncable.Unsyncable:
        """What cannot be mirrored, as far as that is ours to say; what is known of another owner's
        shard is kept, to compare with."""
        return self.unsyncable if self.holder is None else unsyncable.Unsyncable()

    def report(
        self,
        shard: str,
        protocol: str | None,
        why: str = "",
        room: int = told.MOST_BYTES,
        mark: messages.Mark | None = None,
        token: int = 0,
    ) -> messages.ShardReport:
        """`why` `protocol` is classic if bulk was preferred; `room`: bytes of paths, each kind."""
        error = self.error if self.error is not None else self.blind
        return messages.ShardReport(
            id=shard,
            phase=self._shown(error),
            owned=self.owned,
            holder=told.sentence(self.holder, room),
            protocol=protocol,
            protocol_reason=why or None,
            progress=self._progress(),
            keys=self.keys,
            pending=self.pending,
            zxid=self.zxid,
            synced_at=self.synced_at,
            unsyncable=tuple(told.unsyncable(self._bad.sample(_UNSYNCABLE_SHOWN), room)),
            unsyncable_total=len(self._bad),
            guard=told.guard(self.guard, room),
            pause=self.pause,
            ordered=self.ordered,
            last_full_sync=self.last_full_sync,
            full_sync_running=self.full_sync_running,
            error=told.sentence(error, room),
            refusal=told.sentence(self.refusal, room),
            attempt=self.attempt,
            retry_at=self.retry_at,
            error_trace_id=self.error_trace_id if error is not None else None,
            started_over=told.started_over(self.started_over, room),
            work=None if (running := self.course) is None else running.work,
            written=self.written,
            ensemble=self.ensemble,
            mark=mark,
            token=token,
            drift=told.drift(self.drift, room),
            **self._left(room),
        )

    def _left(self, room: int) -> dict[str, Any]:
        """What is not as ZooKeeper has it, since it is somebody else's, or is to stay."""
        return {
            "conflicts": len(self.conflicts),
            "conflict_paths": told.paths(self.conflicts.sample(_CONFLICTS_SHOWN), room),
            "kept": told.kept(self.kept, room),
        }


def _nobody() -> None:
    """Nobody is told at once."""
