"""The status of a running supervisor: the JSON document of /status, and what a person reads in it.

The document is the contract (schema_version 1): keys are added, never changed. The text, the page
and the exit code are all made from the document, so they cannot tell different stories.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zk2etcd import conditions, text
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
        "cluster": view.cluster and _cluster(view.cluster),
        "shards": [_shard(shard, now) for shard in view.shards],
    }


def exit_code(found: Mapping[str, Any]) -> int:
    """0 when all is well (ready or standby, nothing guarded, in error or unsyncable), else 1. What
    a person paused is well: it does what they want. Where other supervisors were asked, too, none
    that has shards may be degraded, or have said nothing: of its shards nothing is known."""
    well = found["state"] in ("ready", "standby")
    others = any(is_in_doubt(member) for member in members(found))
    return 0 if well and not others and not any(map(_troubled, found["shards"])) else 1


def members(found: Mapping[str, Any]) -> list[Document]:
    """The supervisors that share the shards, ourselves among them; none where we are alone."""
    listed: list[Document] = (found.get("cluster") or {}).get("members", [])
    return listed if any(each["name"] != found["instance"] for each in listed) else []


def is_in_doubt(member: Mapping[str, Any]) -> bool:
    """Whether what a supervisor has may not be well, by what it said when it was asked."""
    said = member.get("status")
    return _is_unheard(member) or (said is not None and said["state"] == "degraded")


def unheard(found: Mapping[str, Any]) -> list[Document]:
    """The supervisors that have shards, and said nothing of them when they were asked."""
    return [each for each in members(found) if _is_unheard(each)]


def _is_unheard(member: Mapping[str, Any]) -> bool:
    return member.get("unasked") is not None and member["owned"] > 0


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
    told = shard["error"] or shard.get("pause") or shard["pending"] > _BUSY or drifts(shard)
    told = told or shard.get("conflicts") or shard.get("kept_last")
    return shard["phase"] != "following" or advance.runs(shard) or _troubled(shard) or bool(told)


def drifts(shard: Mapping[str, Any]) -> bool:
    """Whether somebody keeps writing what is mirrored, or may do so without our knowing."""
    found = shard.get("drift") or {}
    return bool(found.get("contested") or found.get("why"))


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


@functools.lru_cache(maxsize=4096)
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
        "kept_last": _held(report.kept),
        "ensemble": _ensemble(report.ensemble),
        "drift": report.drift and {**vars(report.drift), "paths": list(report.drift.paths)},
        "conflicts": report.conflicts,
        "conflict_paths": list(report.conflict_paths),
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


def _cluster(cluster: published.Cluster) -> Document:
    members = [{**vars(each), "failing": list(each.failing)} for each in cluster.members]
    unowned = {shard: round(seconds, 3) for shard, seconds in cluster.unowned.items()}
    return {"members": members, "untold": cluster.untold, "unowned_seconds": unowned}


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


def _held(why: conditions.Guard | conditions.Paused | conditions.Kept | None) -> Document | None:
    return None if why is None else {**vars(why), "since": _time(why.since)}


def _ensemble(known: conditions.Ensemble | None) -> Document | None:
    if known is None:
        return None
    return {**vars(known), "zxid": f"{known.zxid:#x}", "at": _time(known.at)}


def _full_sync(result: conditions.FullSyncResult | None) -> Document | None:
    if result is None:
        return None
    return {
        **vars(result),
        "at": _time(result.at),
        "took_seconds": round(result.took_seconds, 3),
        "trace_id": result.trace_id or None,
    }


def _started_over(last: conditions.StartedOver | None) -> Document | None:
    if last is None:
        return None
    return {**vars(last), "at": _time(last.at), "trace_id": last.trace_id or None}


def _troubled(shard: Mapping[str, Any]) -> bool:
    bad = shard["phase"] in ("guarded", "error") or shard["guard"] is not None
    return bad or shard["unsyncable_total"] > 0
