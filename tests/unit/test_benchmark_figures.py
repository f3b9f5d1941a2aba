"""The benchmarks' arithmetic: a figure that cannot miss its target would prove nothing."""

from __future__ import annotations

import pytest

from benchmarks import figures, recovery


def test_a_ratio_is_of_medians() -> None:
    figure = figures.ratio("sync", [3.0, 1.0, 9.0], [2.0, 2.5, 1.0], 1.5)
    assert figure.value == 1.5
    assert figure.reached
    assert "3.00 s beside 2.00 s" in figure.detail


def test_a_figure_above_its_target_is_missed() -> None:
    assert not figures.ratio("sync", [3.1], [2.0], 1.5).reached
    assert figures.Figure("shown", 1e9, "MiB", None, "").reached


def test_a_recovery_counts_by_its_worst_run() -> None:
    figure = recovery.figure("killed", 5.0, [(1.0, "quick"), (7.0, "slow"), (2.0, "quick")])
    assert (figure.value, figure.reached) == (7.0, False)
    assert figure.detail == "slow, worst of 3"


@pytest.mark.parametrize(("percent", "value"), [(0, 1), (50, 51), (99, 100), (100, 100)])
def test_percentiles(percent: float, value: float) -> None:
    assert figures.percentile([float(n) for n in range(100, 0, -1)], percent) == value


def test_the_table_shows_figures_beside_their_targets() -> None:
    good = figures.Figure("fast", 1.2, "x", 1.5, "fine")
    bad = figures.Figure("slow", 7.0, "ms", 5.0, "not fine")
    lines = figures.table([good, bad]).splitlines()
    assert lines[2].split() == ["fast", "1.20", "x", "<=", "1.5", "x", "ok", "fine"]
    assert "MISSED" in lines[3]
    assert lines[2].index("fine") == lines[3].index("not fine")


def test_short_times_are_shown_in_milliseconds() -> None:
    assert figures.seconds(0.0042) == "4.2 ms"
    assert figures.seconds(2.0) == "2.00 s"
