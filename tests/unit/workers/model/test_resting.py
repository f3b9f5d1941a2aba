"""How long a full sync rests before etcd's next page."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import resting

PAGE = 1024 * 1024
LATER = 1000.0
"""By when it has worked for long."""


def test_while_etcd_answers_as_usual_a_walk_goes_on() -> None:
    yielding = resting.Yielding(0.0)
    for size, took in ((5_000, 0.001), (20_000, 0.002), (PAGE, 0.03), (PAGE, 0.05), (300, 0.002)):
        assert yielding.saw(size, took, LATER) == 0.0


def test_an_etcd_that_is_slower_is_left_as_much_time_as_it_took() -> None:
    yielding = resting.Yielding(0.0)
    yielding.saw(PAGE, 0.03, LATER)
    assert yielding.saw(PAGE, 0.3, LATER) == pytest.approx(0.3)
    assert yielding.saw(PAGE, 7.0, LATER) == pytest.approx(1.0)
    assert yielding.saw(PAGE, 0.04, LATER) == 0.0


def test_what_is_slow_in_proportion_but_short_disturbs_nobody() -> None:
    yielding = resting.Yielding(0.0)
    yielding.saw(300, 0.0005, LATER)
    assert yielding.saw(300, 0.015, LATER) == 0.0


def test_what_stays_slow_becomes_usual() -> None:
    yielding = resting.Yielding(0.0)
    yielding.saw(PAGE, 0.01, LATER)
    rests = [yielding.saw(PAGE, 0.1, LATER) for _ in range(300)]
    assert rests[0] == pytest.approx(0.1)
    assert rests[-1] == 0.0


@given(
    st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 5), st.integers(0, 4 * PAGE)),
        min_size=1,
        max_size=100,
    )
)
def test_it_takes_at_most_twice_as_long_as_without_rests(
    answers: list[tuple[float, float, int]],
) -> None:
    """Whatever answers seem to take: it works for a while, sees one, and rests as it is told."""
    now, worked = 100.0, 0.0
    yielding = resting.Yielding(now)
    for work, took, size in answers:
        worked += work
        now += work
        now += yielding.saw(size, took, now)
        assert now - 100.0 <= 2 * worked + 1e-6


def test_many_slow_answers_of_a_busy_machine_double_the_time_and_no_more() -> None:
    yielding, now = resting.Yielding(0.0), 0.0
    yielding.saw(PAGE, 0.005, 0.0)
    for page in range(250):
        now += 0.05
        took = 0.3 if page % 2 else 0.005
        now += yielding.saw(PAGE, took, now)
    assert 1.8 * 250 * 0.05 <= now <= 2 * 250 * 0.05 + 1e-6
