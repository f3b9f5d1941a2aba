"""The status document drawn for a terminal: understood in three seconds, then the details.

First a line with the state, then what is wrong and what to do about it, then shards and workers.
On a narrow terminal the less telling columns go, before anything is cut.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any

import rich.box
import rich.console
import rich.progress_bar
import rich.table
import rich.text

from zk2etcd import text
from zk2etcd.view import advance, membership, problems, status

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
_MOST_BARS = 12
_MANY = 50
"""Shards, from which on only those are listed that stand out, and of those so many."""
_ALIKE = 3
"""Places that are named of one problem that many have."""


@dataclasses.dataclass(frozen=True)
class _Column:
    """`least` is the terminal's width below which the column is left out; `running`: it is shown
    only while a base or full sync runs; `shared`: only where several supervisors share the shards,
    or only where they do not."""

    title: str
    value: Callable[[Mapping[str, Any], float], str]
    right: bool = False
    least: int = 0
    running: bool = False
    shared: bool | None = None


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


def _rate(shard: Mapping[str, Any], _now: float) -> str:
    return f"{shard['progress'].get('rate') or 0:,.0f}" if advance.runs(shard) else "-"


def _left(shard: Mapping[str, Any], _now: float) -> str:
    seconds = shard["progress"].get("remaining_seconds")
    return "-" if seconds is None else text.duration(max(1.0, seconds))


_SHARDS = (
    _Column("shard", lambda shard, _: text.printable(shard["id"]), least=110),
    _Column("from", lambda shard, _: text.printable(status.source(shard))),
    _Column("to", lambda shard, _: text.printable(shard["to"]), least=90),
    _Column("worker", lambda shard, _: _dash(shard["worker"])),
    _Column("phase", lambda shard, _: status.progress(shard)),
    _Column("nodes/s", _rate, right=True, least=110, running=True),
    _Column("left", _left, right=True, least=80, running=True),
    _Column("keys", lambda shard, _: str(shard["keys"]), right=True),
    _Column("pending", lambda shard, _: str(shard["pending"]), right=True, least=70),
    _Column("lag", _lag, right=True),
    _Column("last full sync", _last, least=100),
    _Column("next", _next, least=130),
    _Column("supervisor", lambda shard, _: shard["supervisor"], least=90, shared=True),
    _Column("holder", lambda shard, _: _dash(shard["holder"]), least=150, shared=False),
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


_MEMBERS = (
    _Column("supervisor", lambda member, _: membership.called(member)),
    _Column("state", lambda member, _: member["state"]),
    _Column("shards", lambda member, _: str(member["owned"]), right=True),
    _Column("release", lambda member, _: member["version"] or "-", least=80),
    _Column("configuration", lambda member, _: member["like"], least=100),
    _Column("ZooKeeper", lambda member, _: "yes" if member["healthy"] else "no", least=90),
    _Column("address", lambda member, _: member["url"] or "-", least=70),
)


LINES = {
    "etcd_read": "from etcd",
    "etcd_write": "to etcd",
    "zookeeper_read": "from ZooKeeper",
}


def narrow(found: Mapping[str, Any]) -> str:
    """Where a line carries less than usual, and how much is under way on it at once."""
    said = []
    for worker in found["workers"]:
        rooms = worker.get("narrow") or {}
        lines = [f"{LINES[line]} {text.size(rooms[line])}" for line in LINES if line in rooms]
        if lines:
            said.append(f"{worker['slot']} {', '.join(lines)}")
    return f"slow answers, so less is asked for at once: {'; '.join(said)}" if said else ""


def console(out: IO[str] | None = None) -> rich.console.Console:
    """Where to draw: colours only on a terminal and without NO_COLOR; a pipe is 160 wide."""
    target = out or sys.stdout
    width = None if target.isatty() else int(os.environ.get("COLUMNS") or _WIDTH_OF_A_PIPE)
    return rich.console.Console(
        file=target, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False
    )


def draw(
    found: Mapping[str, Any], width: int, *, bars: bool = False, everything: bool = False
) -> rich.console.Group:
    """The whole status for a terminal `width` columns wide; `bars`: with one for each shard whose
    base or full sync is under way; `everything`: each shard has its line, however many they are."""
    now = status.seconds(found["at"])
    parts: list[rich.console.RenderableType] = [_headline(found, now), _problems(found)]
    shards = found["shards"]
    members = status.members(found)
    running = not bars and any(map(advance.runs, shards))
    shown = [
        column
        for column in _SHARDS
        if (running or not column.running) and column.shared in (None, bool(members))
    ]
    if bars and any(map(advance.runs, shards)):
        parts.append(_bars(shards, width))
    listed = shards if everything else _listed(shards)
    if listed:
        rows = membership.placed(listed, found) if members else listed
        parts.append(_table(shown, rows, "phase", now, width))
    if others := len(shards) - len(listed):
        parts.append(_unlisted(shards, others))
    parts.append("")
    if members:
        parts.append(_table(_MEMBERS, membership.listed(found), "state", now, width))
        parts.append("")
    workers = membership.workers(found) if everything else found["workers"]
    parts.append(_table(_WORKERS, workers, "state", now, width))
    return rich.console.Group(*parts)


def _headline(found: Mapping[str, Any], now: float) -> rich.text.Text:
    state = found["state"]
    line = rich.text.Text()
    line.append(
        f" {text.printable(state).upper()} ", style=f"bold reverse {_COLOURS.get(state, 'white')}"
    )
    line.append(f"  {status.summary(found)}\n", style="bold")
    up = text.duration(max(0.0, now - status.seconds(found["started_at"])))
    facts = f"zk2etcd {found['version']}, pid {found['pid']}, up {up}, {found['config']['path']}"
    line.append(text.printable(f"{facts}, instance {found['instance']}") + "\n", style="dim")
    if known := status.ensemble(found):
        line.append(f"{text.printable(known)}\n", style="dim")
    if thin := narrow(found):
        line.append(f"{text.printable(thin)}\n", style="yellow")
    return line


def _bars(shards: Sequence[Mapping[str, Any]], width: int) -> rich.console.Group:
    """The furthest behind come first, since they are what one waits for."""
    running = [shard for shard in shards if advance.runs(shard)]
    running.sort(key=lambda shard: _share(shard) or 0.0)
    grid = rich.table.Table.grid(padding=(0, 1), expand=True)
    grid.add_column(no_wrap=True, max_width=max(10, width // 3))
    grid.add_column(ratio=1)
    for _ in range(1 + (width >= 70) + (width >= 50)):
        grid.add_column(justify="right", no_wrap=True)
    for shard in running[:_MOST_BARS]:
        grid.add_row(*_bar(shard, width))
    more = len(running) - _MOST_BARS
    return rich.console.Group(grid, f"and {more} more\n" if more > 0 else "")


def _bar(shard: Mapping[str, Any], width: int) -> Iterator[rich.console.RenderableType]:
    at = shard["progress"]
    name = text.shortened(text.printable(status.source(shard)), max(10, width // 3))
    yield rich.text.Text(name, style="bold")
    share = _share(shard)
    yield rich.progress_bar.ProgressBar(1.0, share or 0.0)
    unit = " nodes" if share is None and width >= 60 else ""
    yield rich.text.Text(f"{advance.percent(at['done'], at['total'])}{unit}", style="cyan")
    if width >= 70:
        yield rich.text.Text(advance.rate(at.get("rate")))
    if width >= 50:
        yield rich.text.Text(advance.left(at.get("remaining_seconds")))


def _share(shard: Mapping[str, Any]) -> float | None:
    return advance.share(shard["progress"]["done"], shard["progress"]["total"])


def _listed(shards: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of many, those that stand out, the first of them."""
    if len(shards) <= _MANY:
        return shards
    return [shard for shard in shards if status.stands_out(shard)][:_MANY]


def _unlisted(shards: Sequence[Mapping[str, Any]], others: int) -> rich.text.Text:
    out = sum(map(status.stands_out, shards))
    which = (
        "all of which follow" if out <= _MANY else f"{out - _MANY:,} of which do not just follow"
    )
    return rich.text.Text(f"and {others:,} more, {which}: `zk2etcd status --all`\n", style="dim")


def _problems(found: Mapping[str, Any]) -> rich.text.Text:
    lines = rich.text.Text()
    for alike in _alike(problems.of(found)):
        where = ", ".join(text.printable(problem.where) for problem in alike[:_ALIKE])
        more = f" and {len(alike) - _ALIKE:,} more" if len(alike) > _ALIKE else ""
        lines.append("! ", style="bold red")
        lines.append(f"{where}{more}: ", style="bold")
        lines.append(f"{text.printable(alike[0].what)}\n")
        lines.append(f"  -> {text.printable(alike[0].remedy)}\n", style="yellow")
    return lines


def _alike(listed: Sequence[problems.Problem]) -> Sequence[Sequence[problems.Problem]]:
    """Of more than one would read, those together that say the same of different shards."""
    if len(listed) <= _MANY // 5:
        return [[problem] for problem in listed]
    found: dict[tuple[str, str], list[problems.Problem]] = {}
    for problem in listed:
        found.setdefault((problem.kind, problem.what), []).append(problem)
    return list(found.values())


def _table(
    columns: Sequence[_Column],
    rows: Sequence[Mapping[str, Any]],
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
        cells = [rich.text.Text(text.printable(column.value(row, now))) for column in shown]
        for column, cell in zip(shown, cells, strict=True):
            if column.title == coloured_by:
                cell.stylize(_COLOURS.get(row[coloured_by], ""))
        table.add_row(*cells)
    return table
