from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import pacing


@given(st.lists(st.tuples(st.integers(0, 300), st.booleans()), max_size=40))
def test_reads_in_flight_are_bounded_and_live_ones_have_room_left(
    wishes: list[tuple[int, bool]],
) -> None:
    budget = pacing.Budget()
    taken: list[int] = []
    for wanted, live in wishes:
        granted = budget.take(wanted, live=live)
        assert 0 <= granted <= wanted
        limit = pacing.UNKNOWN_IN_FLIGHT if live else pacing.WALK_IN_FLIGHT
        assert granted == 0 or budget.used <= limit
        assert budget.used <= pacing.UNKNOWN_IN_FLIGHT
        taken.append(granted)
        if len(taken) > 3:
            budget.give(taken.pop(0))
    for granted in taken:
        budget.give(granted)
    assert budget.used == 0


def test_walks_leave_some_for_live_changes() -> None:
    budget = pacing.Budget()
    assert budget.take(1000, live=False) == pacing.WALK_IN_FLIGHT < pacing.UNKNOWN_IN_FLIGHT
    assert budget.take(1, live=False) == 0
    assert budget.take(10, live=True) == 10


def test_values_that_were_small_for_a_while_count_as_less_and_leave_room_for_live_ones() -> None:
    budget = pacing.Budget()
    granted = budget.take(1000, live=False, small=True)
    assert granted == 168 > pacing.WALK_IN_FLIGHT
    assert budget.take(1000, live=True) == pacing.UNKNOWN_IN_FLIGHT - pacing.WALK_IN_FLIGHT
    budget.give(pacing.cost(granted, small=True))
    assert budget.used == pacing.UNKNOWN_IN_FLIGHT - pacing.WALK_IN_FLIGHT


@pytest.mark.parametrize(("reads", "cost"), [(0, 0), (1, 1), (2, 2), (3, 2), (56, 32)])
def test_what_small_reads_cost(reads: int, cost: int) -> None:
    assert pacing.cost(reads, small=True) == cost
    assert pacing.cost(reads, small=False) == reads


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 0.5), st.integers(0, 500)), min_size=1, max_size=50),
)
def test_a_rate_holds_over_any_stretch(per_second: int, asks: list[tuple[float, int]]) -> None:
    rate = pacing.Rate(per_second)
    now = 100.0
    granted: list[tuple[float, int]] = []
    for pause, wanted in asks:
        now += pause
        count = rate.take(wanted, now)
        assert 0 <= count <= wanted
        granted.append((now, count))
    for first, (start, _) in enumerate(granted):
        for last in range(first, len(granted)):
            total = sum(count for _, count in granted[first : last + 1])
            assert total <= per_second * (1 + granted[last][0] - start) + 1


def test_a_rate_is_used_up_by_steady_asking() -> None:
    rate = pacing.Rate(100)
    total = sum(rate.take(50, 5.0 + step / 1000) for step in range(3000))
    assert 395 <= total <= 401


def test_what_is_given_back_may_be_taken_again_and_no_more() -> None:
    rate = pacing.Rate(10)
    assert rate.take(10, 1.0) == 10
    rate.give(4)
    assert rate.take(10, 1.0) == 4
    rate.give(20)
    assert rate.take(20, 1.0) == 10
    free = pacing.Rate(None)
    free.give(5)
    assert free.take(7, 1.0) == 7


def test_no_rate_is_no_bound() -> None:
    rate = pacing.Rate(None)
    assert rate.take(10**9, 0.0) == rate.most(10**9) == 10**9
    assert rate.spend(10**9, 1.0) == 0.0


@given(
    st.integers(1, 5000),
    st.lists(st.tuples(st.integers(0, 4000), st.floats(0, 2)), min_size=1, max_size=30),
)
def test_a_rate_holds_where_it_is_paid_for_afterwards(
    per_second: int, pages: list[tuple[int, float]]
) -> None:
    rate, now, read = pacing.Rate(per_second), 100.0, 0
    for wanted, took in pages:
        count = min(wanted, rate.most(4000))
        now += took
        read += count
        now += rate.spend(count, now)
        assert read <= per_second * (1 + now - 100.0) + 0.001


def test_several_who_pay_afterwards_share_a_rate() -> None:
    rate = pacing.Rate(100)
    rests = [rate.spend(100, 5.0) for _ in range(3)]
    assert rests == pytest.approx([0.0, 1.0, 2.0])
    assert rate.take(50, 5.5) == 0
    assert rate.spend(0, 50.0) == 0.0


@given(st.lists(st.integers(1, 300_000), min_size=1, max_size=200))
def test_a_request_stays_below_what_a_server_takes(lengths: list[int]) -> None:
    paths = [b"x" * length for length in lengths]
    count = pacing.fitting(paths)
    size = sum(len(path) + 14 for path in paths[:count])
    assert count >= 1
    assert count == 1 or size <= pacing.REQUEST_BYTES
    if count < len(paths):
        assert size + len(paths[count]) + 14 > pacing.REQUEST_BYTES
    assert pacing.REQUEST_BYTES < 1024 * 1024 - 1000


@pytest.mark.parametrize("paths", [[], [b"/a"]])
def test_few_paths_fit(paths: list[bytes]) -> None:
    assert pacing.fitting(paths) == len(paths)


def test_a_ramp_starts_small_grows_on_small_answers_and_falls_on_a_large_one() -> None:
    ramp = pacing.Ramp(112)
    assert ramp.batch == 8
    ramp.saw(100)
    assert ramp.batch == 16
    for _ in range(10):
        ramp.saw(0)
    assert ramp.batch == 112
    ramp.saw(pacing.LARGE_ANSWERS)
    assert ramp.batch == 112, "neither small nor too large: as it is"
    ramp.saw(pacing.LARGE_ANSWERS + 1)
    assert ramp.batch == 8
    ramp.saw(0)
    ramp.rest()
    assert ramp.batch == 8
    assert pacing.Ramp(3).batch == 3


def test_requests_carry_few_reads_where_a_line_carries_little() -> None:
    large = [pacing.LARGE_ANSWERS]
    ramp = pacing.Ramp(64, lambda: large[0])
    assert ramp.batch == 8
    large[0] = 300_000
    ramp.rest()
    assert ramp.batch == 1
    batches = []
    for _ in range(8):
        ramp.saw(ramp.batch * 12_000)
        batches.append(ramp.batch)
    assert batches == [2, 4, 8, 16, 16, 16, 16, 16]
    ramp.saw(300_001)
    assert ramp.batch == 1


@given(st.integers(1, 1000), st.integers(0, pacing.KNOWN_SMALL))
def test_reads_of_known_size_are_bounded_by_what_they_come_to(batch: int, largest: int) -> None:
    parallel = pacing.parallel(batch, largest)
    assert 4 <= parallel <= 12
    assert parallel == 4 or parallel * batch * largest <= 16 * 1024 * 1024


def test_small_values_go_many_at_a_time() -> None:
    assert pacing.parallel(256, 12) == 12
    assert pacing.parallel(256, pacing.KNOWN_SMALL) == 4


def test_a_large_request_that_ends_its_connection_is_quartered_at_once() -> None:
    size = pacing.RequestSize()
    for expected in (100_000, 25_000, 8_000):
        size.passed(4_000)
        size.lost(4 * expected)
        size.lost(5_000)
        size.reconnected()
        assert size.most == expected


def test_a_small_one_is_suspected_only_when_that_happens_twice_in_a_row() -> None:
    size = pacing.RequestSize()
    for _ in range(3):
        size.lost(20_000)
        size.reconnected()
        assert size.most == pacing.REQUEST_BYTES
        size.passed(20_000)  # so it was not that
        size.lost(20_000)
        size.reconnected()
    assert size.most == pacing.REQUEST_BYTES
    for expected in (pacing.REQUEST_BYTES, 5_000, 2_500):
        size.lost(20_000 if expected > 2_500 else 10_000)
        size.reconnected()
        assert size.most == expected


def test_what_passed_on_the_same_connection_is_not_to_blame() -> None:
    size = pacing.RequestSize()
    for _ in range(5):
        size.passed(300_000)
        size.lost(300_000)
        size.reconnected()
    assert size.most == pacing.REQUEST_BYTES


def test_a_request_is_never_asked_to_be_nothing() -> None:
    size = pacing.RequestSize()
    for _ in range(50):
        size.lost(size.most)
        size.reconnected()
    assert 0 < size.most <= 1024
    assert pacing.fitting([b"x" * 70_000, b"y"], size.most) == 1


def test_a_listing_under_which_connections_end_rests_ever_longer() -> None:
    caution = pacing.Caution()
    assert caution.rest(b"/wide", 100.0) == 0
    assert caution.suspect() is None
    rests = []
    for _ in range(6):
        caution.broke(b"/wide", 200_000, 100.0)
        rests.append(caution.rest(b"/wide", 100.0))
    assert rests == [15, 60, 240, 600, 600, 600]
    assert caution.suspect() == (b"/wide", 200_000)
    assert caution.rest(b"/other", 101.0) == 0
    assert caution.rest(b"/wide", 701.0) == 0
    caution.given(b"/wide")
    assert caution.suspect() is None
    caution.given(b"/other")
    caution.broke(b"/wide", 200_000, 1000.0)
    assert caution.rest(b"/wide", 1000.0) == 15
