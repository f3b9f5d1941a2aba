"""What is known of a shard while no mirror speaks for it, and what a report of one amounts to.

A report outlives the worker that sent it: how fresh the shard was stays true, while nothing of what
was under way does. All pure, from one report to another or to an answer.
"""

from __future__ import annotations

import dataclasses

from zk2etcd import messages


def waiting(shard: str) -> messages.ShardReport:
    """What is known of a shard before its mirror first reports."""
    return messages.ShardReport(id=shard, phase="waiting")


def released(report: messages.ShardReport) -> messages.ShardReport:
    """A shard between two workers: nobody mirrors it."""
    return dataclasses.replace(
        _stopped(report),
        phase="waiting",
        orphaned=False,
        holder=None,
        error=None,
        error_trace_id=None,
        attempt=0,
        retry_at=None,
    )


def orphaned(
    report: messages.ShardReport, slot: str, code: int | None, trace_id: str | None = None
) -> messages.ShardReport:
    """A shard whose worker ended unasked."""
    return dataclasses.replace(
        _stopped(report),
        phase="error",
        orphaned=True,
        error=f"worker {slot} ended with {exit_status(code)}; it is restarted",
        error_trace_id=trace_id,
    )


def elsewhere(
    report: messages.ShardReport, holder: str | None, why: str | None
) -> messages.ShardReport:
    """A shard that none of our workers has: who has it, if anybody is known to, and why nobody can
    know, which is an error. What is to be said of it beside that is theirs to say: that deletes are
    held, that it is paused, what cannot be mirrored, is contested, or somebody else's; not since
    when it is known to be fresh."""
    gone = dataclasses.replace(
        released(report),
        holder=holder,
        guard=None,
        kept=None,
        pause=None,
        keys=0,
        unsyncable=(),
        unsyncable_total=0,
        drift=None,
        conflicts=0,
        conflict_paths=(),
    )
    return gone if why is None else dataclasses.replace(gone, error=why, phase="error")


def inheritance(report: messages.ShardReport) -> messages.Inherited | None:
    """What the next worker of this shard is told, if no worker has it now."""
    if report.owned or report.mark is None:
        return None
    return messages.Inherited(report.mark, report.guard, report.pause)


def is_settled(report: messages.ShardReport) -> bool:
    """The shard is in order, or another supervisor's."""
    return report.phase in ("following", "guarded", "paused") or stands_by(report)


def stands_by(report: messages.ShardReport) -> bool:
    """The shard waits for another, who owns it."""
    return report.phase == "waiting" and report.holder is not None


def is_served(report: messages.ShardReport) -> bool:
    """Somebody mirrors the shard, or holds it for a person: we, or the one that it waits for."""
    return report.owned or report.phase not in ("waiting", "error") or stands_by(report)


def exit_status(code: int | None) -> str:
    """How a worker ended, for people: "signal 9", "exit status 1"."""
    if code is None:
        return "not started"
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _stopped(report: messages.ShardReport) -> messages.ShardReport:
    return dataclasses.replace(report, owned=False, full_sync_running=False, work=None, pending=0)
