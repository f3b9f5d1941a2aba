"""What the page says in words: pure, from the status document, so that each can be tested."""

from __future__ import annotations

import dataclasses
import datetime
import math
import shlex
import signal
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from zk2etcd import conditions, text
from zk2etcd.view import history, problems

_MOST_FULL_SYNCS = 15
_TONES = {
    "ready": "good",
    "following": "good",
    "running": "good",
    "standby": "busy",
    "full_sync": "busy",
    "degraded": "bad",
    "error": "bad",
    "guarded": "bad",
    "backoff": "bad",
}


@dataclasses.dataclass(frozen=True)
class Headline:
    """`tone`: good, busy, wait or bad; never the only sign of it."""

    tone: str
    words: str


@dataclasses.dataclass(frozen=True)
class FullSync:
    """One completed base or full sync of the shard of this id and ZooKeeper path."""

    shard: str
    source: str
    result: conditions.FullSyncResult

    @property
    def at(self) -> str:
        """To the second, UTC."""
        moment = datetime.datetime.fromtimestamp(self.result.at, datetime.UTC)
        return moment.strftime("%H:%M:%S")


def headline(found: Mapping[str, Any], alive: bool = True) -> Headline:
    """Whether all is well, in a few words; not `alive`: the document is old."""
    if not alive:
        return Headline("bad", "The supervisor hangs: all this is old")
    state = found["state"]
    if state == "degraded":
        return Headline("bad", "Needs attention")
    if state in ("ready", "standby") and problems.of(found):
        return Headline("wait", "Running, with something to look at")
    words = {"ready": "All is well", "standby": "Standing by", "stopping": "Stopping"}
    return Headline(tone(state), words.get(state, "Starting"))


def worst_first(listed: Sequence[problems.Problem]) -> list[problems.Problem]:
    """What stands still before what is only left out or paused; otherwise as they come."""
    mild = ("conflict", "kept", "unsyncable", "pause")
    return sorted(listed, key=lambda problem: problem.kind in mild)


def totals(found: Mapping[str, Any]) -> str:
    """How much there is, and how many do the work."""
    keys = sum(shard["keys"] for shard in found["shards"])
    pending = sum(shard["pending"] for shard in found["shards"])
    workers = found["workers"]
    run = sum(worker["state"] == "running" for worker in workers)
    waits = f", {pending:,} changes pending" if pending else ""
    return f"{keys:,} keys{waits} · {run} of {len(workers)} workers run"


def tone(state: str) -> str:
    """Of a supervisor's state, a shard's phase or a worker's state."""
    return _TONES.get(state, "wait")


def commands(found: Mapping[str, Any], shard: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to type about the trip of this shard's guard: (what it does, command)."""
    options = " ".join(f"-c {shlex.quote(path)}" for path in found["config"]["paths"])
    allow = "Let it happen, once; shows it and asks first"
    if shard["guard"]["kind"] == "identity":
        allow = "Say that this ZooKeeper is the right one; asks first"
    return [
        ("Compare both sides; changes nothing", f"zk2etcd diff {options}"),
        (allow, f"zk2etcd release {shard['id']} {options}"),
    ]


def work(shard: Mapping[str, Any]) -> str:
    """How far the base or full sync is that runs now, and how long it still takes; "" for none."""
    progress = shard["progress"]
    if progress.get("read") is None:
        return ""
    said = [f"{progress.get(what) or 0:,} {what}" for what in ("read", "compared", "written")]
    if progress.get("rate"):
        said.append(f"{progress['rate']:,.0f} nodes/s")
    if progress.get("remaining_seconds") is not None:
        said.append(f"about {text.duration(progress['remaining_seconds'])} left")
    return ", ".join(said)


def full_syncs(recent: history.Recent, sources: Mapping[str, str]) -> list[FullSync]:
    """The last ones of all shards together, newest first."""
    kept = [
        FullSync(shard, sources[shard], result)
        for shard, series in recent.shards.items()
        for result in series.full_syncs
        if shard in sources
    ]
    return sorted(kept, key=lambda each: -each.result.at)[:_MOST_FULL_SYNCS]


def rate(per_second: float | None) -> str:
    """Keys a second; a dash while it is not known."""
    if per_second is None or math.isnan(per_second):
        return "\N{EN DASH}"
    return f"{per_second:,.0f}/s" if per_second >= 10 or per_second == 0 else f"{per_second:.1f}/s"


def ended(code: int) -> str:
    """How a worker last ended: `exit status 1`, `SIGKILL`."""
    if code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def pieces(words: str) -> list[tuple[bool, str]]:
    """A sentence cut at its backticks: (whether it is something to type, text)."""
    return [(at % 2 == 1, piece) for at, piece in enumerate(words.split("`")) if piece]


def settings(redacted: Mapping[str, Any]) -> str:
    """A redacted configuration as YAML; what is not printable is escaped."""
    lines = yaml.safe_dump(dict(redacted), sort_keys=False, allow_unicode=True).splitlines()
    return "\n".join(text.printable(line) for line in lines)
