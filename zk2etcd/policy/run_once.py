"""When `run --once` is done, and with which exit code: pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from zk2etcd import errors, messages
from zk2etcd.policy import reports

# Attempts of a shard, or exits of a worker, after which a single run gives up.
MOST_ATTEMPTS = 5
BUG = 70


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`reason` is one line for a person, empty when all is equal."""

    exit_code: int
    reason: str = ""


def finished(report: messages.ShardReport) -> bool:
    """The shard's one full sync ended, or its guard or a person holds it."""
    held = report.guard is not None or report.pause is not None
    return report.last_full_sync is not None or held


def verdict(
    latest: Iterable[messages.ShardReport],
    failures: Mapping[str, int],
    waited: float,
    patience: float,
) -> Verdict | None:
    """None while there is hope. `failures` counts each slot's exits in a row.

    A shard that another supervisor owns is waited for `patience` seconds of `waited`.
    """
    shards = list(latest)
    open_shards = [report for report in shards if not finished(report)]
    for slot, count in failures.items():
        if count >= MOST_ATTEMPTS:
            return Verdict(BUG, f"worker {slot} ended {count} times without finishing")
    for report in open_shards:
        if report.phase == "error" and report.attempt >= MOST_ATTEMPTS:
            return Verdict(3, f"shard {report.id}: {report.error or 'not said why'}")
        if reports.stands_by(report) and waited > patience:
            return Verdict(3, f"shard {report.id} is owned by {report.holder}")
    if open_shards:
        return None
    troubles = [trouble for report in shards for trouble in _troubles(report)]
    return Verdict(1, "; ".join(troubles)) if troubles else Verdict(0)


def _troubles(report: messages.ShardReport) -> Iterable[str]:
    if (pause := report.pause) is not None:
        yield str(errors.Paused(report.id, pause.by, pause.since))
    if report.guard is not None and report.guard.kind == "identity":
        yield f"shard {report.id} is guarded, nothing was written: {report.guard.reason}"
    elif report.guard is not None:
        yield (
            f"shard {report.id} is guarded: {report.guard.reason} would delete "
            f"{report.guard.deletes} of {report.guard.present} keys"
        )
    elif report.phase == "guarded":
        yield f"shard {report.id} is guarded"
    if report.kept is not None:
        yield f"shard {report.id} keeps {report.kept.deletes} keys, each the last of its folder"
    count = max(report.unsyncable_total, len(report.unsyncable))
    if count:
        yield f"shard {report.id} has {count} paths that cannot be mirrored"
    if report.conflicts:
        yield f"shard {report.id} has {report.conflicts} nodes with somebody else's keys in place"
