"""How a person is shown the status: bars and tables that fit, and names that are not obeyed."""

from __future__ import annotations

import io

import pytest

from tests.unit import views
from zk2etcd.client import status_text
from zk2etcd.view import status


def _lines(found: status.Document, width: int, *, bars: bool = True) -> list[str]:
    return [line.rstrip() for line in views.drawn(found, width, bars=bars).splitlines()]


@pytest.mark.parametrize("width", [40, 80, 160])
def test_each_shard_that_runs_has_a_bar_that_fits(width: int) -> None:
    found = views.document(
        views.running("a", 250, 1000), views.running("b", 7, 0), views.shard("c")
    )
    lines = _lines(found, width)
    assert max(map(len, lines)) <= width
    unknown, known = (line for line in lines if line.startswith("/dubbo") and "w0" not in line)
    assert known.count("━") + known.count("╸") > width // 10
    assert "25%" in known
    assert ("5.5 s left" in known) == (width >= 50)
    assert ("100 nodes/s" in known) == (width >= 70)
    assert "━" not in unknown
    assert " 7" in unknown


def test_without_bars_the_table_has_the_figures() -> None:
    lines = _lines(views.document(views.running("a", 250, 1000)), 160, bars=False)
    assert any("full sync 25%" in line and "100" in line and "5.5 s" in line for line in lines)
    assert any("nodes/s" in line for line in lines)
    quiet = _lines(views.document(views.shard("a")), 160, bars=False)
    assert not any("nodes/s" in line for line in quiet)


def test_of_many_bars_those_least_far_are_shown() -> None:
    shards = [views.running(f"s{number}", number, 100) for number in range(40)]
    lines = [line for line in _lines(views.document(*shards), 80) if "nodes/s" in line]
    assert [line.split("%")[0].split()[-1] for line in lines] == [str(n) for n in range(12)]
    assert "and 28 more" in _lines(views.document(*shards), 80)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    shown = views.drawn(views.document(views.shard(**views.FAILED), state="ready"), width)
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "/dubbo" in shown


def test_names_that_a_terminal_would_obey_are_shown() -> None:
    view = views.view(shards=(views.shard(phase="error", error="a\x1b]0;b\u202e[red]c[/red]"),))
    shown = views.drawn(status.document(view, views.NOW))
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "[red]c[/red]" in shown


def test_colours_only_on_a_terminal_that_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def shown() -> str:
        out = Terminal()
        status_text.console(out).print(
            status_text.draw(views.document(views.shard(), state="ready"), 80)
        )
        return out.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in shown()
    assert "\x1b" not in views.drawn(views.document(views.shard(), state="ready"))
