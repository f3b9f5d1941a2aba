"""The bars of a command, and its lines where there is no terminal."""

from __future__ import annotations

import io

import pytest
import rich.console
import rich.progress

from tests.unit import views
from zk2etcd import text
from zk2etcd.client import bars

HOSTILE = "/a\x1b[2J\u202e[bold]x[/bold]"


@pytest.mark.parametrize("width", [40, 80, 160])
def test_a_hostile_name_is_shown_and_not_obeyed(width: int) -> None:
    shard = views.running("a", 250, 1000)
    found = views.document(shard)
    found["shards"][0]["from"] = HOSTILE
    shown = views.drawn(found, width, bars=True)
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
