"""The words for how far something is, the lines where there is no terminal, and the bars."""

from __future__ import annotations

import dataclasses
import io
import json
from typing import Any

import pytest
import rich.console
import rich.progress

from tests.unit import views
from zk2etcd import messages, text
from zk2etcd.client import bars, status_text, watching
from zk2etcd.view import advance, published, status


def work(done: int, rate: float = 100.0, left: float | None = 5.5) -> messages.Work:
    return messages.Work("base", done + 10, done, done // 2, rate, left)


def running(shard: str, done: int, total: int, **changes: Any) -> published.ShardView:
    known = {"phase": "full_sync", "work": work(done), **changes}
    return views.shard(shard, progress=(done, total), **known)


def document(*shards: published.ShardView, state: str = "starting") -> status.Document:
    return status.document(views.view(state=state, shards=shards), views.NOW)


@pytest.mark.parametrize(
    ("done", "total", "rate", "left", "said"),
    [
        (450, 1000, 100.0, 5.5, "450 of 1,000 nodes (45%), 100 nodes/s, 5.5 s left"),
        (0, 0, 0.0, None, "0 nodes"),
        (12345, 0, 900.4, None, "12,345 nodes, 900 nodes/s"),
        (1000, 1000, 3.0, None, "1,000 of 1,000 nodes (99%), 3 nodes/s"),
        (999, 1000, 5.0, 0.2, "999 of 1,000 nodes (99%), 5 nodes/s, 1.0 s left"),
    ],
)
def test_what_is_known_is_said(
    done: int, total: int, rate: float, left: float | None, said: str
) -> None:
    assert advance.sentence(done, total, rate, left) == said


def test_all_that_runs_is_summed_up() -> None:
    both = document(running("a", 450, 1000), running("b", 50, 1000), views.shard("c"))
    assert "2 full sync; full sync 25%, 5.5 s left; lag" in status.summary(both)
    unknown = document(running("a", 450, 1000), running("b", 50, 0, work=work(50, left=None)))
    assert "full sync 500 nodes; lag" in status.summary(unknown)
    assert advance.overall(document(views.shard("c"))["shards"]) == ""


def test_a_full_sync_shows_while_the_shard_follows() -> None:
    (shard,) = document(running("a", 450, 1000, phase="following"))["shards"]
    assert status.progress(shard) == "following, full sync 45%"


def test_shards_that_were_asked_for_something_are_done_running_or_not_begun() -> None:
    over = views.shard("a", progress=(700, 700))
    due = dataclasses.replace(views.shard("b", progress=(300, 300)), full_sync_due=True)
    assert advance.totals(document(over, running("c", 450, 1000), due)["shards"]) == (1150, 2000)
    assert advance.totals(document(over, running("c", 450, 0))["shards"]) == (1150, 0)
    empty = views.shard("d", progress=(0, 0))
    assert advance.totals(document(over, empty)["shards"]) == (700, 700)


def drawn(found: status.Document, width: int, *, with_bars: bool = True) -> list[str]:
    out = io.StringIO()
    console = status_text.console(out)
    console.width = width
    console.print(status_text.draw(found, width, bars=with_bars))
    return [line.rstrip() for line in out.getvalue().splitlines()]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_each_shard_that_runs_has_a_bar_that_fits(width: int) -> None:
    found = document(running("a", 250, 1000), running("b", 7, 0), views.shard("c"))
    lines = drawn(found, width)
    assert max(map(len, lines)) <= width
    unknown, known = (line for line in lines if line.startswith("/dubbo") and "w0" not in line)
    assert known.count("━") + known.count("╸") > width // 10
    assert "25%" in known
    assert ("5.5 s left" in known) == (width >= 50)
    assert ("100 nodes/s" in known) == (width >= 70)
    assert "━" not in unknown
    assert " 7" in unknown


def test_without_bars_the_table_has_the_figures() -> None:
    lines = drawn(document(running("a", 250, 1000)), 160, with_bars=False)
    assert any("full sync 25%" in line and "100" in line and "5.5 s" in line for line in lines)
    assert any("nodes/s" in line for line in lines)
    quiet = drawn(document(views.shard("a")), 160, with_bars=False)
    assert not any("nodes/s" in line for line in quiet)


def test_of_many_bars_those_least_far_are_shown() -> None:
    shards = [running(f"s{number}", number, 100) for number in range(40)]
    lines = [line for line in drawn(document(*shards), 80) if "nodes/s" in line]
    assert [line.split("%")[0].split()[-1] for line in lines] == [str(n) for n in range(12)]
    assert "and 28 more" in drawn(document(*shards), 80)


HOSTILE = "/a\x1b[2J\u202e[bold]x[/bold]"


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_hostile_name_is_shown_and_not_obeyed(width: int) -> None:
    shard = running("a", 250, 1000)
    found = document(shard)
    found["shards"][0]["from"] = HOSTILE
    shown = "\n".join(drawn(found, width))
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "\\x1b" in shown

    out = io.StringIO()
    console = rich.console.Console(file=out, width=width, markup=False)
    progress = rich.progress.Progress(*bars.columns(width), console=console, expand=True)
    progress.add_task(text.printable(HOSTILE), total=10, completed=5)
    console.print(progress.get_renderable())
    assert "50%" in out.getvalue()
    assert not {"\x1b", "\u202e"} & set(out.getvalue())
    if width > 40:
        assert "[bold]x[/bold]" in out.getvalue()
    assert max(map(len, out.getvalue().splitlines())) <= width


def test_a_command_without_a_terminal_says_a_line_every_ten_seconds() -> None:
    out, now = io.StringIO(), 0.0
    lines = bars.Lines("comparing /a", out, lambda: now)
    for tick in range(1, 50):
        now = tick / 2
        lines.tell(100 * tick, 10_000)
    assert out.getvalue().splitlines() == [
        "comparing /a: 2,000 of 10,000 nodes (20%), 200 nodes/s, 40 s left",
        "comparing /a: 4,000 of 10,000 nodes (40%), 200 nodes/s, 30 s left",
    ]


# --- status --watch in a pipe -------------------------------------------------------------------


def fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.split(" ")[1:])


def test_a_line_for_each_change_and_now_and_then() -> None:
    said, found = watching.Lines(), document(running("a", 450, 1000), views.shard("b"))
    head, shard = said.seen(found, 0.0)
    assert head.startswith(found["at"] + " state=starting shards=2 following=1 full_sync=1 lag=1.0")
    assert fields(shard) == {
        "shard": "a",
        "phase": "full_sync",
        "kind": "base",
        "done": "450",
        "total": "1000",
        "written": "225",
        "rate": "100.0",
        "remaining_seconds": "5.5",
    }
    assert said.seen(document(running("a", 500, 1000), views.shard("b")), 9.0) == []
    assert len(said.seen(document(running("a", 550, 1000), views.shard("b")), 10.0)) == 2
    (over,) = said.seen(document(views.shard("a"), views.shard("b"), state="ready"), 11.0)
    assert fields(over)["state"] == "ready"


def test_lines_name_what_is_wrong() -> None:
    bad = views.shard("a", phase="error", error='no "etcd" \x1b[2J', attempt=2)
    _, problem = watching.Lines().seen(document(bad, state="degraded"), 0.0)
    assert 'problem=a what="no \\"etcd\\" \\\\x1b[2J" do="it is tried' in problem
    assert "\x1b" not in problem


def test_a_supervisor_that_is_away_is_said_so_once_and_again_when_it_is_back() -> None:
    said, found = watching.Lines(), document(views.shard("a"), state="ready")
    assert len(said.seen(found, 0.0)) == 1
    (line,) = said.away("no answer", 1.0)
    assert line.endswith('Z state=away error="no answer"')
    assert said.away("no answer, still", 2.0) == []
    assert len(said.away("no answer", 11.0)) == 1
    assert len(said.seen(found, 12.0)) == 1
    assert json.loads(line.rpartition("=")[2]) == "no answer"
