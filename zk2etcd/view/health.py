"""Alive and ready, as an orchestrator asks: pure answers from one view of the supervisor.

Alive says that the supervisor's loop turns, whatever the servers do: restarting the process does
not bring etcd back. Ready says that each shard is being mirrored, here or by the supervisor that it
waits for: one that can be neither had nor waited for, with etcd away say, is not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zk2etcd.view import published

LOOP_DEADLINE = 10.0
RESTART_GRACE = 3.0
"""Seconds for which a shard without a worker is no outage: it is being restarted, or moved."""
EXCLUDABLE = ("guarded", "error")


@dataclasses.dataclass(frozen=True)
class Check:
    """One thing that was looked at; `detail` is one line."""

    name: str
    good: bool
    detail: str


def live(view: published.View) -> Check:
    """Whether the supervisor's loop turned within LOOP_DEADLINE seconds."""
    age = view.last_turn_age
    return Check("loop", age <= LOOP_DEADLINE, f"turned {age:.1f} s ago")


def ready(view: published.View, exclude: Collection[str] = ()) -> list[Check]:
    """The state of the supervisor, then each shard; ready when every check is good.

    `exclude` names what is not counted: "guarded", "error".
    """
    running = view.state not in ("starting", "stopping")
    checks = [live(view), Check("supervisor", running, view.state)]
    return checks + [_shard(shard, exclude) for shard in view.shards]


def _shard(shard: published.ShardView, exclude: Collection[str]) -> Check:
    report, unserved = shard.report, shard.unserved_seconds
    restarts = unserved is not None and unserved < RESTART_GRACE
    if restarts and report.orphaned:
        return Check(shard.id, True, f"restarting: {report.error}")
    # While it tries again it is in other phases for moments; the error stands until one went well.
    failing = report.phase == "error" or report.error is not None
    if failing and "error" not in exclude:
        return Check(shard.id, False, f"error: {report.error or 'not said'}")
    guarded = report.guard is not None or report.phase == "guarded"
    if guarded and "guarded" not in exclude:
        why = f": {report.guard.reason}" if report.guard else ""
        return Check(shard.id, False, f"guarded{why} (zk2etcd release {shard.id})")
    if unserved is not None and not restarts and "error" not in exclude:
        return Check(shard.id, False, f"{report.phase}: not mirrored for {unserved:.0f} s")
    if report.pause is not None:
        return Check(shard.id, True, f"{report.phase}: by {report.pause.by}")
    return Check(shard.id, True, report.phase)
