"""How far the base or full sync of a shard is, as numbers and as words, from the /status document.

One wording for the table, the bars and the lines of `status --watch`, `diff` and `genzk`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from zk2etcd import text

ALMOST = 0.99
"""What is not over is never 1, however low its total was guessed."""


def runs(shard: Mapping[str, Any]) -> bool:
    """A base or full sync of this shard is under way."""
    return shard["phase"] == "full_sync" or shard["progress"].get("kind") is not None


def share(done: int, total: int) -> float | None:
    """How much of something under way is done, from 0 to ALMOST; None while nobody knows."""
    return min(ALMOST, done / total) if total else None


def percent(done: int, total: int) -> str:
    """`45%`; without a total, the number done so far: `12,345`."""
    part = share(done, total)
    return f"{done:,}" if part is None else f"{100 * part:.0f}%"


def rate(speed: float | None) -> str:
    """`1,234 nodes/s`; empty while there is none."""
    return f"{speed:,.0f} nodes/s" if speed is not None and speed >= 0.5 else ""


def left(seconds: float | None) -> str:
    """`3m 5s left`; empty if nobody can know."""
    return "" if seconds is None else f"{text.duration(max(1.0, seconds))} left"


def sentence(done: int, total: int, speed: float | None, seconds: float | None) -> str:
    """`450 of 1,000 nodes (45%), 100 nodes/s, 5.5 s left`, without what is not known."""
    known = f"{done:,} of {total:,} nodes ({percent(done, total)})" if total else f"{done:,} nodes"
    return ", ".join(part for part in (known, rate(speed), left(seconds)) if part)


def totals(shards: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """(done, total) in nodes, of what was asked of these shards: done, running, or not begun yet.
    The total is 0 while nobody knows it of one that runs."""
    done, total, unknown = 0, 0, False
    for shard in shards:
        at = shard["progress"]
        done += 0 if shard.get("full_sync_due") and not runs(shard) else at["done"]
        total += at["total"]
        unknown |= runs(shard) and not at["total"]
    return done, 0 if unknown else total


def overall(shards: Iterable[Mapping[str, Any]]) -> str:
    """All that runs, taken together: `full sync 45%, 32 s left`; empty when nothing runs."""
    running = [shard["progress"] for shard in shards if runs(shard)]
    if not running:
        return ""
    done = sum(each["done"] for each in running)
    total = sum(each["total"] for each in running) if all(e["total"] for e in running) else 0
    remaining = [each.get("remaining_seconds") for each in running]
    known = [seconds for seconds in remaining if seconds is not None]
    end = left(max(known)) if len(known) == len(remaining) else ""
    said = f"full sync {percent(done, total)}{'' if total else ' nodes'}"
    return f"{said}, {end}" if end else said
