"""How fast, and how long still."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import progress


def test_the_rate_is_that_of_the_last_seconds() -> None:
    pace = progress.Pace(100.0, window=5.0)
    rates = [pace.saw(100.0 + tick, 1000 * tick) for tick in range(1, 21)]
    assert rates == pytest.approx([1000.0] * 20)
    slow = [pace.saw(120.0 + tick, 20_000 + 10 * tick) for tick in range(1, 9)]
    assert slow[0] > 500
    assert slow[-1] == pytest.approx(10.0)


def test_the_rate_of_what_stands_still_falls_to_nought() -> None:
    pace = progress.Pace(0.0)
    pace.saw(1.0, 5000)
    assert [pace.saw(float(now), 5000) for now in (5, 6, 7)] == [1000.0, 0.0, 0.0]


def test_the_first_moment_has_no_rate() -> None:
    assert progress.Pace(10.0).saw(10.001, 300) == 0.0


@given(st.lists(st.floats(0.001, 3), min_size=1, max_size=60), st.floats(1, 1e6))
def test_a_steady_walk_has_its_own_rate_however_often_it_is_looked_at(
    gaps: list[float], speed: float
) -> None:
    pace, now = progress.Pace(0.0), 0.0
    for gap in gaps:
        now += gap
        rate = pace.saw(now, int(now * speed))
        assert rate == 0.0 or rate == pytest.approx(speed, abs=1 / 0.2)


@pytest.mark.parametrize(
    ("done", "total", "rate", "expected"),
    [
        (250, 1000, 250.0, 3.0),
        (0, 0, 9.0, None),
        (5, 0, 9.0, None),
        (7, 7, 9.0, None),
        (8, 7, 9.0, None),
        (1, 7, 0.0, None),
    ],
)
def test_seconds_that_remain(done: int, total: int, rate: float, expected: float | None) -> None:
    assert progress.remaining(done, total, rate) == expected
