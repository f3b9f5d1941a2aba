"""Of whom a worker tells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from zk2etcd_workers.model import news

State = news.State


def told(reports: Sequence[Sequence[news.State]]) -> tuple[set[str], float | None]:
    """What the last of these reports tells; the numbers are such that none is due by itself."""
    known = news.News()
    known._count = 1
    for states in reports:
        known._count = 1
        found = known.of(states)
    return found


def test_at_first_of_all() -> None:
    assert told([[State("a", 1, 5.0), State("b", 1, 5.0)]]) == ({"a", "b"}, None)


def test_of_none_that_rests_though_all_are_fresher() -> None:
    before, after = ([State(s, 1, at) for s in "abc"] for at in (5.0, 6.0))
    assert told([before, after]) == (set(), 6.0)


def test_of_one_that_turned_or_is_about_something() -> None:
    before = [State(s, 1, 5.0) for s in "abcd"]
    after = [State("a", 2, 6.0), State("b", None, 6.0), State("c", 1, 6.0), State("d", 1, 6.0)]
    assert told([before, after]) == ({"a", "b"}, 6.0)
    still = [State("a", 2, 6.0), State("b", 1, 6.0), State("c", 1, 6.0), State("d", 1, 6.0)]
    assert told([before, after, still]) == ({"b"}, 6.0)


def test_of_one_that_is_not_as_fresh_as_the_others() -> None:
    before = [State(s, 1, 5.0) for s in "abc"]
    after = [State("a", 1, 6.0), State("b", 1, 5.0), State("c", 1, 6.0)]
    assert told([before, after]) == ({"b"}, 6.0)


def test_of_one_that_is_new() -> None:
    assert told([[State("a", 1, 5.0)], [State("a", 1, 6.0), State("b", 1, 6.0)]]) == ({"b"}, 6.0)


@pytest.mark.parametrize(("shards", "reports"), [(100, 20), (300, 60)])
def test_each_is_told_of_now_and_then(shards: int, reports: int) -> None:
    known, seen = news.News(), set[str]()
    states = [State(f"s{number}", 1, 5.0) for number in range(shards)]
    known.of(states)
    for _ in range(reports):
        found, _moment = known.of(states)
        assert len(found) <= 5
        seen |= found
    assert seen == {state.shard for state in states}


def test_it_is_quiet_while_nothing_happens_to_nearly_all_of_the_same_shards() -> None:
    known = news.News()
    states = [State(f"s{number}", 1, 5.0) for number in range(40)]
    busy = [State(f"s{number}", 3, 5.0) for number in range(5)]

    def is_quiet(*found: news.State) -> bool:
        known.of(found)
        return known.is_quiet

    assert not is_quiet(*states), "nothing was known of them"
    assert is_quiet(*states)
    assert [known.rest(cost) for cost in (0.0003, 0.0024, 1.0)] == pytest.approx([0.5, 0.8, 1.0])
    assert is_quiet(State("s0", 2, 5.0), State("s1", None, 5.0), *states[2:])
    assert not is_quiet(*busy, *states[5:])
    assert known.rest(1.0) == news.EVERY
    assert not is_quiet(*states[1:]), "one is gone"


def test_what_somebody_may_wait_for_is_told_soon_and_what_comes_meanwhile_with_it() -> None:
    times = news.Times()
    assert times.is_due(0.0)
    times.told(10.0, news.EVERY, 0.0002)
    assert not times.is_due(10.4)
    assert times.is_due(10.5)
    times.hurry()
    assert not times.is_due(10.04)
    assert times.until_hurried(10.01) == pytest.approx(0.04)
    assert times.is_due(10.06)
    assert times.until_hurried(10.2) == 0.0
    times.told(10.06, news.EVERY, 0.0002)
    assert not times.is_due(10.5)
    assert times.until_hurried(10.5) == math.inf


def test_telling_soon_takes_a_hundredth_of_a_processor_at_most() -> None:
    times = news.Times()
    times.told(0.0, news.EVERY, 0.002)
    times.hurry()
    assert not times.is_due(0.19)
    assert times.is_due(0.2)
    times.told(1.0, news.EVERY, 3.0)
    times.hurry()
    assert times.is_due(1.0 + news.EVERY)


def test_after_an_order_it_rests_no_longer_than_while_much_happens() -> None:
    times = news.Times()
    times.told(0.0, 1.0, 0.001)
    times.expect(0.1)
    assert not times.is_due(0.59)
    assert times.is_due(0.6)
