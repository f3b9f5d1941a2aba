"""How a person is shown the status: bars and tables that fit, and names that are not obeyed."""

from __future__ import annotations

import dataclasses
import io
from typing import Any

import pytest

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.client import status_text
from zk2etcd.view import published, status


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


def _shard(name: str, **changes: Any) -> published.ShardView:
    return dataclasses.replace(views.shard(name, **changes), source=f"/{name}")


def _many(*odd: published.ShardView, count: int = 400) -> status.Document:
    quiet = [_shard(f"q{number}") for number in range(count)]
    return views.document(*quiet, *odd, state="degraded")


def test_of_many_shards_those_are_listed_that_stand_out() -> None:
    odd = _shard("odd", phase="error", error="etcd is away")
    busy = _shard("busy", pending=20_000)
    shown = views.drawn(_many(odd, busy))
    assert "402 shards: 1 error, 401 following" in shown
    assert "/odd" in shown
    assert "/busy" in shown
    assert "/q7" not in shown
    assert "and 400 more, all of which follow: `zk2etcd status --all`" in shown
    assert len(shown.splitlines()) < 30
    whole = views.drawn(_many(odd, busy), everything=True)
    assert "/q399" in whole
    assert "more, all of which" not in whole


def test_of_few_each_has_its_line() -> None:
    assert "/q49" in views.drawn(_many(count=50))


def test_what_hundreds_suffer_from_is_said_once() -> None:
    bad = [_shard(f"b{number}", phase="error", error="etcd is away") for number in range(300)]
    paused = _shard("p", phase="paused", pause=conditions.Paused("me", views.NOW))
    shown = views.drawn(_many(*bad, paused))
    assert shown.count("etcd is away") == 1
    assert "! b0, b1, b2 and 297 more: etcd is away" in shown
    assert "! p: paused" in shown
    assert "and 651 more, 251 of which do not just follow" in shown
    assert len(shown.splitlines()) < 80


def test_where_less_than_usual_is_asked_for_at_once() -> None:
    thin = {"etcd_read": 65_536, "zookeeper_read": 1_048_576}
    view = views.view(workers=(views.worker(narrow=thin), views.worker("w1")))
    assert status_text.narrow(status.document(view, views.NOW)) == (
        "slow answers, so less is asked for at once: w0 from etcd 64.0 KiB, from ZooKeeper 1.0 MiB"
    )
    assert status_text.narrow(status.document(views.view(), views.NOW)) == ""
