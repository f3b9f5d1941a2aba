"""Views of a made-up supervisor, for the tests of what people and Prometheus see."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

from zk2etcd import conditions, messages
from zk2etcd.client import status_text
from zk2etcd.view import published, status

NOW = 1_700_000_000.0
GUARD = conditions.Guard(
    id="g1", reason="deletes", deletes=500, present=1000, sample=("/a/1",), since=NOW - 60
)
RESULT = conditions.FullSyncResult(sequence=3, at=NOW - 90, took_seconds=1.5, put=2, delete=1)

FAILED: dict[str, Any] = {
    "phase": "error",
    "error": "etcd does not answer",
    "attempt": 3,
    "retry_at": NOW + 4,
}


def report(shard: str = "dubbo-12345678", **changes: Any) -> messages.ShardReport:
    """A shard that follows, in order."""
    good = messages.ShardReport(
        id=shard,
        phase="following",
        owned=True,
        protocol="bulk",
        progress=(1000, 1000),
        keys=1000,
        zxid=0x1234,
        synced_at=NOW - 1,
        last_full_sync=RESULT,
    )
    return dataclasses.replace(good, **changes)


def shard(shard: str = "dubbo-12345678", worker: str = "w0", **changes: Any) -> published.ShardView:
    """The shard of `report(shard, **changes)`, mirrored by `worker`."""
    return published.ShardView(
        id=shard,
        source="/dubbo",
        target="/mirror/dubbo",
        worker=worker,
        report=report(shard, **changes),
        next_full_sync_at=NOW + 210,
    )


def worker(slot: str = "w0", **changes: Any) -> published.WorkerView:
    """A worker that runs, in order."""
    good = published.WorkerView(
        slot=slot,
        pid=4242,
        state="running",
        restarts=0,
        last_exit=None,
        heartbeat_age_seconds=0.2,
        resident_bytes=50_000_000,
        cpu_seconds=1.25,
        zk_connected=True,
        shards=("dubbo-12345678",),
    )
    return dataclasses.replace(good, **changes)


def view(**changes: Any) -> published.View:
    """A supervisor with one worker and one shard, in order."""
    good = published.View(
        version="1.2.3",
        instance="host-1-abc",
        pid=4241,
        started_at=NOW - 3600,
        state="ready",
        config=published.ConfigView("zk2etcd.yaml", NOW - 3600, "ab" * 32, paths=("zk2etcd.yaml",)),
        workers=(worker(),),
        shards=(shard(),),
        last_turn_age=0.1,
        reloads={"ok": 1},
        log_level="info",
    )
    return dataclasses.replace(good, **changes)


def elsewhere(name: str, holder: str | None = "host-2-def") -> published.ShardView:
    """A shard that another supervisor has, or that nobody is known to have."""
    found = messages.ShardReport(id=name, phase="waiting", holder=holder)
    return dataclasses.replace(shard(name), worker=None, report=found, next_full_sync_at=None)


def cluster(*members: published.Member) -> published.Cluster:
    """Ourselves and these."""
    return published.Cluster((published.Member("host-1-abc", owned=1), *members))


def work(done: int, rate: float = 100.0, left: float | None = 5.5) -> conditions.Work:
    return conditions.Work("base", done + 10, done, done // 2, rate, left)


def running(name: str, done: int, total: int, **changes: Any) -> published.ShardView:
    known = {"phase": "full_sync", "work": work(done), **changes}
    return shard(name, progress=(done, total), **known)


def document(*shards: published.ShardView, state: str = "starting") -> status.Document:
    return status.document(view(state=state, shards=shards), NOW)


def drawn(
    found: status.Document, width: int = 160, *, bars: bool = False, everything: bool = False
) -> str:
    """As `zk2etcd status` shows it where there is no terminal."""
    out = io.StringIO()
    console = status_text.console(out)
    console.width = width
    console.print(status_text.draw(found, width, bars=bars, everything=everything))
    return out.getvalue()
