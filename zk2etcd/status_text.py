"""The status document drawn for a terminal: understood in three seconds, then the details.

First a line with the state, then what is wrong and what to do about it, then shards and workers.
On a narrow terminal the less telling columns go, before anything is cut.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any

import rich.box
import rich.console
import rich.table
import rich.text

from zk2etcd import status, text

_COLOURS = {
    "ready": "green",
    "standby": "cyan",
    "starting": "yellow",
    "stopping": "yellow",
    "degraded": "red",
    "following": "green",
    "full_sync": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "guarded": "red",
    "error": "red",
    "running": "green",
    "backoff": "red",
}
_WIDTH_OF_A_PIPE = 160


@dataclasses.dataclass(frozen=True)
class _Column:
    """`least` is the terminal's width below which the column is left out."""

    title: str
    value: Callable[[Mapping[str, Any], float], str]
    right: bool = False
    least: int = 0


def _dash(value: object) -> str:
    return "-" if value is None else str(value)


def _lag(shard: Mapping[str, Any], _now: float) -> str:
    return "-" if shard["lag_seconds"] is None else text.duration(shard["lag_seconds"])


def _last(shard: Mapping[str, Any], now: float) -> str:
    last = shard["last_full_sync"]
    if last is None:
        return "-"
    ago = text.duration(max(0.0, now - status.seconds(last["at"])))
    return f"{ago} ago, took {text.duration(last['took_seconds'])}"


def _next(shard: Mapping[str, Any], now: float) -> str:
    due = shard["next_full_sync_at"]
    return "-" if due is None else f"in {text.duration(max(0.0, status.seconds(due) - now))}"


_SHARDS = (
    _Column("shard", lambda shard, _: text.printable(shard["id"]), least=110),
    _Column("from", lambda shard, _: text.printable(shard["from"])),
    _Column("to", lambda shard, _: text.printable(shard["to"]), least=90),
    _Column("worker", lambda shard, _: _dash(shard["worker"])),
    _Column("phase", lambda shard, _: status.progress(shard)),
    _Column("keys", lambda shard, _: str(shard["keys"]), right=True),
    _Column("pending", lambda shard, _: str(shard["pending"]), right=True, least=70),
    _Column("lag", _lag, right=True),
    _Column("last full sync", _last, least=100),
    _Column("next", _next, least=130),
    _Column("holder", lambda shard, _: text.printable(_dash(shard["holder"])), least=150),
)


def _heartbeat(worker: Mapping[str, Any], _now: float) -> str:
    age = worker["heartbeat_age_seconds"]
    return "-" if age is None else f"{text.duration(age)} ago"


def _memory(worker: Mapping[str, Any], _now: float) -> str:
    count = worker["resident_bytes"]
    return "-" if count is None else text.size(count)


_WORKERS = (
    _Column("worker", lambda worker, _: worker["slot"]),
    _Column("pid", lambda worker, _: _dash(worker["pid"]), right=True),
    _Column("state", lambda worker, _: worker["state"]),
    _Column("restarts", lambda worker, _: str(worker["restarts"]), right=True),
    _Column("last exit", lambda worker, _: _dash(worker["last_exit"]), right=True, least=100),
    _Column("heartbeat", _heartbeat, right=True, least=90),
    _Column("memory", _memory, right=True, least=60),
    _Column("ZooKeeper", lambda worker, _: "yes" if worker["zk_connected"] else "no", least=90),
    _Column("shards", lambda worker, _: str(len(worker["shards"])), right=True),
)


def console(out: IO[str] | None = None) -> rich.console.Console:
    """Where to draw: colours only on a terminal and without NO_COLOR; a pipe is 160 wide."""
    target = out or sys.stdout
    width = None if target.isatty() else int(os.environ.get("COLUMNS") or _WIDTH_OF_A_PIPE)
    return rich.console.Console(
        file=target, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False
    )


def draw(found: Mapping[str, Any], width: int) -> rich.console.Group:
    """The whole status for a terminal `width` columns wide."""
    now = status.seconds(found["at"])
    parts: list[rich.console.RenderableType] = [_headline(found, now), _problems(found)]
    parts.append(_table(_SHARDS, found["shards"], "phase", now, width))
    parts.append("")
    parts.append(_table(_WORKERS, found["workers"], "state", now, width))
    return rich.console.Group(*parts)


def _headline(found: Mapping[str, Any], now: float) -> rich.text.Text:
    state = found["state"]
    line = rich.text.Text()
    line.append(f" {state.upper()} ", style=f"bold reverse {_COLOURS[state]}")
    line.append(f"  {status.summary(found)}\n", style="bold")
    up = text.duration(max(0.0, now - status.seconds(found["started_at"])))
    facts = f"zk2etcd {found['version']}, pid {found['pid']}, up {up}, {found['config']['path']}"
    line.append(f"{text.printable(facts)}, instance {found['instance']}\n", style="dim")
    return line


def _problems(found: Mapping[str, Any]) -> rich.text.Text:
    lines = rich.text.Text()
    for problem in status.problems(found):
        lines.append("! ", style="bold red")
        lines.append(f"{text.printable(problem.where)}: ", style="bold")
        lines.append(f"{text.printable(problem.what)}\n")
        lines.append(f"  -> {text.printable(problem.remedy)}\n", style="yellow")
    return lines


def _table(
    columns: tuple[_Column, ...],
    rows: list[Mapping[str, Any]],
    coloured_by: str,
    now: float,
    width: int,
) -> rich.table.Table:
    shown = [column for column in columns if column.least <= width]
    table = rich.table.Table(box=rich.box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in shown:
        justify = "right" if column.right else "left"
        table.add_column(column.title, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for row in rows:
        cells = [rich.text.Text(column.value(row, now)) for column in shown]
        for column, cell in zip(shown, cells, strict=True):
            if column.title == coloured_by:
                cell.stylize(_COLOURS.get(row[coloured_by], ""))
        table.add_row(*cells)
    return table
