"""How long a walk rests before etcd's next page."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import resting

PAGE = 1024 * 1024


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.integers(0, 4000), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_the_allowance_holds_over_any_stretch(
    per_second: int, pages: list[tuple[int, float]]
) -> None:
    allowance, now, read = resting.Allowance(per_second), 100.0, 0
    for wanted, took in pages:
        keys = min(wanted, allowance.most(4000))
        now += took
        read += keys
        now += max(0.0, allowance.spent(keys, now))
        assert read <= per_second * (now - 100.0) + 0.001


def test_several_walks_share_it() -> None:
    allowance = resting.Allowance(100)
    assert [allowance.spent(100, 5.0) for _ in range(3)] == pytest.approx([1.0, 2.0, 3.0])
    assert allowance.spent(0, 50.0) == 0.0


def test_without_a_bound_nothing_rests() -> None:
    allowance = resting.Allowance(None)
    assert allowance.most(4000) == 4000
    assert allowance.spent(4000, 1.0) == 0.0


def test_while_etcd_answers_as_usual_a_walk_goes_on() -> None:
    yielding = resting.Yielding()
    for size, took in ((5_000, 0.001), (20_000, 0.002), (PAGE, 0.03), (PAGE, 0.05), (300, 0.002)):
        assert yielding.saw(size, took) == 0.0


def test_an_etcd_that_is_slower_is_left_as_much_time_as_it_took() -> None:
    yielding = resting.Yielding()
    yielding.saw(PAGE, 0.03)
    assert yielding.saw(PAGE, 0.3) == pytest.approx(0.3)
    assert yielding.saw(PAGE, 7.0) == pytest.approx(1.0)
    assert yielding.saw(PAGE, 0.04) == 0.0


def test_what_is_slow_in_proportion_but_short_disturbs_nobody() -> None:
    yielding = resting.Yielding()
    yielding.saw(300, 0.0005)
    assert yielding.saw(300, 0.015) == 0.0


def test_what_stays_slow_becomes_usual() -> None:
    yielding = resting.Yielding()
    yielding.saw(PAGE, 0.01)
    rests = [yielding.saw(PAGE, 0.1) for _ in range(300)]
    assert rests[0] == pytest.approx(0.1)
    assert rests[-1] == 0.0
