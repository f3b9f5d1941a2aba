"""The status of a running supervisor: the JSON document of /status, and what a person reads in it.

The document is the contract (schema_version 1): keys are added, never changed. The text, the page
and the exit code are all made from the document, so they cannot tell different stories.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zk2etcd import text
from zk2etcd.view import advance

if TYPE_CHECKING:
    from zk2etcd import messages
    from zk2etcd.view import published

SCHEMA_VERSION = 1
_BUSY = 1_000
"""Changes that wait, from which on a shard stands out."""
Document = dict[str, Any]


def document(view: published.View, now: float) -> Document:
    """The /status document; `now` and all times in wall-clock seconds.

    `lag_seconds` is the age of `synced_at` at `now`, so it grows also while a worker is dead.
    """
    return {
        "schema_version": SCHEMA_VERSION,
        "version": view.version,
        "instance": view.instance,
        "pid": view.pid,
        "started_at": _time(view.started_at),
        "at": _time(now),
        "state": view.state,
        "log_level": view.log_level,
        "config": {
            **vars(view.config),
            "paths": list(view.config.paths),
            "loaded_at": _time(view.config.loaded_at),
        },
        "metrics_problem": view.metrics_problem,
        "workers": [_worker(worker) for worker in view.workers],
        "shards": [_shard(shard, now) for shard in view.shards],
    }


def exit_code(found: Mapping[str, Any]) -> int:
    """0 when all is well (ready or standby, nothing guarded, in error or unsyncable), else 1. What
    a person paused is well: it does what they want."""
    well = found["state"] in ("ready", "standby")
    return 0 if well and not any(_troubled(shard) for shard in found["shards"]) else 1


@dataclasses.dataclass(frozen=True)
class Problem:
    """One thing a person should know: where, what, and what to do about it.

    `kind`: config, metrics, worker, error, guard, pause, missed or unsyncable; `where` is a shard's
    id for the last five.
    """

    where: str
    what: str
    remedy: str
    kind: str


def problems(found: Mapping[str, Any]) -> list[Problem]:
    """What is wrong, or waits for a person, the supervisor first, then workers, then shards."""
    listed = []
    if found["config"]["error"]:
        remedy = "the running configuration was kept: correct the file, then `zk2etcd reload`"
        listed.append(Problem("config", found["config"]["error"], remedy, "config"))
    if found.get("metrics_problem"):
        remedy = "mirroring goes on: free space there, or set TMPDIR to another folder and restart"
        listed.append(Problem("metrics", found["metrics_problem"], remedy, "metrics"))
    for worker in found["workers"]:
        listed += _of_worker(worker)
    for shard in found["shards"]:
        listed += _of_shard(shard, seconds(found["at"]))
    return listed


def summary(found: Mapping[str, Any]) -> str:
    """One sentence: how many shards are in which phase, how far what runs is, the largest lag."""
    phases = [shard["phase"] for shard in found["shards"]]
    if not phases:
        return "no shards"
    counts = [f"{phases.count(phase)} {phase.replace('_', ' ')}" for phase in sorted({*phases})]
    lags = [shard["lag_seconds"] for shard in found["shards"] if shard["lag_seconds"] is not None]
    lag = f"; lag at most {text.duration(max(lags))}" if lags else ""
    far = advance.overall(found["shards"])
    said = f"{len(phases)} shard{'s' if len(phases) > 1 else ''}: {', '.join(counts)}"
    return f"{said}{'; ' if far else ''}{far}{lag}"


def stands_out(shard: Mapping[str, Any]) -> bool:
    """Whether there is more to see of a shard than that it follows: where there are many, those are
    looked for."""
    told = shard["error"] or shard.get("pause") or shard["pending"] > _BUSY
    return shard["phase"] != "following" or advance.runs(shard) or _troubled(shard) or bool(told)


def progress(shard: Mapping[str, Any]) -> str:
    """The phase of a shard with how far a base or full sync is: `full sync 25%`, `following, full
    sync 25%`; with the number of nodes where nobody knows how many there are."""
    phase = str(shard["phase"]).replace("_", " ")
    if not advance.runs(shard):
        return phase
    done, total = shard["progress"]["done"], shard["progress"]["total"]
    far = advance.percent(done, total) if total else f"({done:,})"
    return f"{phase} {far}" if shard["phase"] == "full_sync" else f"{phase}, full sync {far}"


def ensemble(found: Mapping[str, Any]) -> str:
    """By which node ZooKeeper is known, the oldest of all shards; empty while it is not."""
    known = [shard["ensemble"] for shard in found["shards"] if shard.get("ensemble")]
    if not known:
        return ""
    oldest = min(known, key=lambda each: seconds(each["at"]))
    return f"ZooKeeper known by {oldest['path']} of {oldest['at'][:19]}Z, zxid {oldest['zxid']}"


def source(shard: Mapping[str, Any]) -> str:
    """See `text.bucket`."""
    return text.bucket(str(shard["from"]), shard.get("bucket", 0), shard.get("buckets", 1))


def seconds(rfc3339: str) -> float:
    """Wall-clock seconds of one of the document's times."""
    return datetime.datetime.fromisoformat(rfc3339).timestamp()


def _time(moment: float | None) -> str | None:
    if moment is None:
        return None
    utc = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _worker(worker: published.WorkerView) -> Document:
    age, cpu = worker.heartbeat_age_seconds, worker.cpu_seconds
    return {
        **vars(worker),
        "heartbeat_age_seconds": None if age is None else round(age, 3),
        "cpu_seconds": None if cpu is None else round(cpu, 3),
        "shards": list(worker.shards),
        "etcd": worker.etcd and dataclasses.asdict(worker.etcd),
        "narrow": worker.narrow and dict(worker.narrow),
    }


def _shard(shard: published.ShardView, now: float) -> Document:
    report = shard.report
    lag = None if report.synced_at is None else round(max(0.0, now - report.synced_at), 3)
    return {
        "id": shard.id,
        "from": shard.source,
        "to": shard.target,
        "bucket": shard.bucket,
        "buckets": shard.buckets,
        "worker": shard.worker,
        "phase": report.phase,
        "owned": report.owned,
        "holder": report.holder,
        "protocol": report.protocol,
        "protocol_reason": report.protocol_reason,
        "progress": _progress(report),
        "keys": report.keys,
        "pending": report.pending,
        "written": report.written,
        "zxid": f"{report.zxid:#x}",
        "lag_seconds": lag,
        "synced_at": _time(report.synced_at),
        "unsyncable": [dataclasses.asdict(entry) for entry in report.unsyncable],
        "unsyncable_total": max(report.unsyncable_total, len(report.unsyncable)),
        "guard": _held(report.guard),
        "pause": _held(report.pause),
        "ensemble": _ensemble(report.ensemble),
        "full_sync_running": report.full_sync_running,
        "full_sync_due": shard.full_sync_due,
        "last_full_sync": _full_sync(report.last_full_sync),
        "next_full_sync_at": _time(shard.next_full_sync_at),
        "error": report.error,
        "error_trace_id": report.error_trace_id,
        "started_over": _started_over(report.started_over),
        "attempt": report.attempt,
        "retry_at": _time(report.retry_at),
    }


def _progress(report: messages.ShardReport) -> Document:
    """`done` of `total` nodes; what lies beyond is None while neither a base nor a full sync
    runs."""
    work = report.work
    return {
        "done": report.progress[0],
        "total": report.progress[1],
        "kind": work and work.kind,
        "read": work and work.read,
        "compared": work and work.compared,
        "written": work and work.written,
        "rate": work and round(work.rate, 1),
        "remaining_seconds": work and work.remaining_seconds,
        "trace_id": work and (work.trace_id or None),
    }


def _held(why: messages.Guard | messages.Paused | None) -> Document | None:
    return None if why is None else {**vars(why), "since": _time(why.since)}


def _ensemble(known: messages.Ensemble | None) -> Document | None:
    if known is None:
        return None
    return {**vars(known), "zxid": f"{known.zxid:#x}", "at": _time(known.at)}


def _full_sync(result: messages.FullSyncResult | None) -> Document | None:
    if result is None:
        return None
    return {
        **vars(result),
        "at": _time(result.at),
        "took_seconds": round(result.took_seconds, 3),
        "trace_id": result.trace_id or None,
    }


def _started_over(last: messages.StartedOver | None) -> Document | None:
    if last is None:
        return None
    return {**vars(last), "at": _time(last.at), "trace_id": last.trace_id or None}


def _troubled(shard: Mapping[str, Any]) -> bool:
    bad = shard["phase"] in ("guarded", "error") or shard["guard"] is not None
    return bad or shard["unsyncable_total"] > 0


def _of_worker(worker: Mapping[str, Any]) -> list[Problem]:
    if worker["state"] == "backoff":
        ended = "" if worker["last_exit"] is None else f" (last exit {worker['last_exit']})"
        what = f"does not run: restarted {worker['restarts']} times{ended}"
        remedy = "it is started again; see the log"
        return [Problem(f"worker {worker['slot']}", what, remedy, "worker")]
    if worker["state"] == "running" and worker["pid"] and not worker["zk_connected"]:
        remedy = "it connects again by itself: see whether the hosts in zookeeper.hosts answer"
        what = "has no ZooKeeper session"
        return [Problem(f"worker {worker['slot']}", what, remedy, "worker")]
    return []


def _of_shard(shard: Mapping[str, Any], now: float) -> list[Problem]:
    listed = []
    if shard["error"]:
        listed.append(Problem(shard["id"], shard["error"], _retry(shard, now), "error"))
    if shard["guard"]:
        listed.append(_of_guard(shard["id"], shard["guard"]))
    if shard.get("pause"):
        listed.append(_of_pause(shard, now))
    if (shard["last_full_sync"] or {}).get("missed"):
        listed.append(_of_missed(shard))
    if shard["unsyncable_total"]:
        first = "; ".join(f"{e['path']}: {e['reason']}" for e in shard["unsyncable"][:3])
        what = f"{shard['unsyncable_total']} paths cannot be mirrored: {first}"
        remedy = "the rest is mirrored; correct or exclude them"
        listed.append(Problem(shard["id"], what, remedy, "unsyncable"))
    return listed


def _of_missed(shard: Mapping[str, Any]) -> Problem:
    what = (
        f"the last full sync found {shard['last_full_sync']['missed']} changes of which ZooKeeper "
        "had sent no event: what is called fresh may not have been"
    )
    remedy = "after the next such one it is read the classic way; see what stands between us"
    return Problem(shard["id"], what, remedy, "missed")


def _of_guard(where: str, guard: Mapping[str, Any]) -> Problem:
    if guard["kind"] == "identity":
        remedy = (
            "nothing is written while this stands: bring the right ZooKeeper back; if this is the "
            f"right one, `zk2etcd release {where}` (deletes are held even then)"
        )
        return Problem(where, f"guarded: {guard['reason']}", remedy, "guard")
    sample = f", such as {guard['sample'][0]}" if guard["sample"] else ""
    came = f", {guard['creates']} new in the same places" if guard.get("creates") else ""
    held = f"{guard['deletes']} of {guard['present']} keys{came}{sample}"
    what = f"guarded: {guard['reason']} ({held})"
    remedy = (
        "nothing is deleted while this stands: `zk2etcd diff -c F` shows what it holds back, "
        f"`zk2etcd release {where}` lets it happen"
    )
    return Problem(where, what, remedy, "guard")


def _of_pause(shard: Mapping[str, Any], now: float) -> Problem:
    pause = shard["pause"]
    ago = text.duration(max(0.0, now - seconds(pause["since"])))
    what = f"paused {ago} ago by {pause['by']}: nothing is written"
    remedy = f"`zk2etcd resume {shard['id']}` mirrors it again"
    return Problem(shard["id"], what, remedy, "pause")


def _retry(shard: Mapping[str, Any], now: float) -> str:
    if shard["retry_at"] is None:
        return "it is tried again by itself"
    wait = max(0.0, seconds(shard["retry_at"]) - now)
    return f"it is tried again in {text.duration(wait)} (attempt {shard['attempt'] + 1})"
