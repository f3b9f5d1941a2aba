"""What a line carries, learned from the answers; how long a full sync rests before a page."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import line, pacing

PAGE = 1024 * 1024
MIB = 1024 * 1024
LATER = 1000.0
"""By when it has worked for long."""


class Wire:
    """A line of so many bytes a second with a latency, first in, first out, whose askers send parts
    of the room as soon as they may. Each that takes longer than `patience` is lost."""

    def __init__(
        self, speed: float, latency: float = 0.001, patience: float = 5.0, usual: int = 8 * MIB
    ) -> None:
        self.line = line.Line(usual, patience)
        self.speed, self.latency, self.patience = speed, latency, patience
        self.now, self.free_at = 100.0, 0.0
        self.under_way: list[tuple[float, int, int, float]] = []
        self.lost, self.longest, self.carried = 0, 0.0, 0
        self._keys = 0

    def run(self, answers: int, part: int, most: int = 100) -> line.Line:
        """Until so many were answered: each asker asks for the room's `part`, `most` at once."""
        for _ in range(answers):
            size = max(1, self.line.room // part)
            while len(self.under_way) < most and self.line.fits(size, self.now):
                self.send(size)
            self.answer()
        return self.line

    def send(self, size: int) -> None:
        self._keys += 1
        self.line.take(self._keys, size, self.now)
        self.free_at = max(self.free_at, self.now) + size / self.speed
        self.under_way.append((self.free_at + self.latency, self._keys, size, self.now))

    def answer(self) -> None:
        at, key, size, began = self.under_way.pop(0)
        self.now = max(self.now, at)
        took = at - began
        self.longest = max(self.longest, took)
        if took > self.patience:
            self.lost += 1
            self.line.ended(key, None, self.now)
            self.line.lost(self.patience, self.now)
            return
        self.carried += size
        self.line.ended(key, size, self.now)


def test_a_line_on_which_nothing_took_too_long_is_told_to_be_narrow_too() -> None:
    found = Wire(200_000.0, patience=1.5).run(6, 2, 1)
    assert found.room == 128 * 1024 == found.narrow
    assert found.large() == pacing.LARGE_ANSWERS, "nothing has taken too long"


@pytest.mark.parametrize("part", [2, 4])
def test_a_fast_line_soon_carries_what_is_usual_and_is_not_called_narrow(part: int) -> None:
    found = Wire(1e9).run(30, part)
    assert found.room == 8 * MIB
    assert found.narrow is None
    assert found.large() == pacing.LARGE_ANSWERS


def test_a_line_is_not_taken_for_a_thin_one_because_it_is_long() -> None:
    assert Wire(1e8, latency=0.3, patience=2.5).run(60, 4).room == 8 * MIB
    assert Wire(1e8, latency=1.5, patience=2.5).run(60, 4).room == 8 * MIB
    thin = Wire(500_000.0, latency=0.3, patience=2.5)
    assert thin.run(100, 4).room < 600_000
    assert thin.lost == 0


@pytest.mark.parametrize("speed", [50_000.0, 200_000.0, 500_000.0, 2_000_000.0])
@pytest.mark.parametrize("part", [1, 2, 4])
def test_on_a_thin_line_answers_stay_far_from_the_time_out(speed: float, part: int) -> None:
    wire = Wire(speed)
    found = wire.run(100, part)
    assert wire.longest < 5.0 * 0.6
    assert wire.lost == 0
    assert found.room < 8 * MIB


@pytest.mark.parametrize("speed", [200_000.0, 500_000.0, 2_000_000.0])
def test_a_thin_line_is_used_up(speed: float) -> None:
    wire = Wire(speed)
    wire.run(50, 4)
    began, before = wire.now, wire.carried
    wire.run(200, 4)
    assert (wire.carried - before) / (wire.now - began) > 0.9 * speed


def test_a_line_that_becomes_thin_is_learned_within_a_few_losses() -> None:
    wire = Wire(1e9)
    wire.run(30, 2)
    wire.speed = 500_000.0
    found = wire.run(40, 2)
    assert 1 <= wire.lost <= 6
    assert found.narrow is not None
    wire.longest = 0.0
    wire.run(100, 2)
    assert wire.longest < 5.0 * 0.6


def test_many_shards_share_what_it_carries() -> None:
    """32 that begin at the same moment: each asks for a part, no two for more than there is."""
    wire = Wire(500_000.0)
    for _ in range(200):
        size = min(32 * 1024, wire.line.room // 4)
        while len(wire.under_way) < 32 and wire.line.fits(size, wire.now):
            wire.send(size)
        wire.answer()
    assert wire.lost == 0
    assert wire.longest < 2.5


def test_a_line_that_was_slow_once_grows_again_slowly() -> None:
    wire = Wire(1e9)
    found = wire.run(30, 2)
    for _ in range(2):
        found.lost(5.0, wire.now)
        wire.now += 10.0
    assert found.room == MIB // 2 == found.narrow == found.large()
    rooms = [wire.run(1, 2).room for _ in range(40)]
    assert rooms[0] < 0.6 * MIB
    assert rooms[-1] == 8 * MIB
    assert found.narrow is None


def test_what_was_under_way_together_counts_once() -> None:
    found = Wire(1e9).run(30, 2)
    for later in range(8):
        found.lost(5.0, 1000.0 + later * 0.1)
    assert found.room == 2 * MIB


def test_an_answer_that_broke_off_early_says_nothing() -> None:
    found = Wire(1e9).run(30, 2)
    found.lost(0.3, 1000.0)
    assert found.room == 8 * MIB


def test_what_one_read_may_have_is_learned_from_the_answers_until_one_is_lost() -> None:
    """Of a thousand trees of a few small nodes, each would be alone on the line otherwise."""
    found = line.Line(16 * MIB, 5.0)
    unknown = found.each
    first = found.carries(48, found.each, 0.0)
    for _ in range(20):
        found.typical(100)
    assert (found.each, found.expects(None), found.expects(40)) == (100, 100, 120)
    found.take("other", 48 * found.each, 0.0)
    assert found.carries(48, found.each, 0.0) == 48 > first
    found.typical(5_000)
    found.typical(100)
    assert 1_000 < found.each < 5_000
    found.lost(0.1, 1.0)
    assert found.each == unknown


def test_small_answers_do_not_tell_that_large_ones_are_quick() -> None:
    wire = Wire(1e9)
    wire.run(30, 2)
    while wire.under_way:
        wire.answer()
    wire.line.lost(5.0, wire.now)
    for _ in range(100):
        wire.send(200)
        wire.answer()
    assert wire.line.room == 2 * MIB


def test_whatever_it_is_may_go_where_nothing_is_under_way_and_a_lost_end_is_forgotten() -> None:
    found = line.Line(8 * MIB, 5.0)
    assert found.fits(100 * MIB, 1.0)
    found.take("a", 100 * MIB, 1.0)
    assert not found.fits(1, 10.0)
    assert found.used(10.0) == 100 * MIB
    assert found.fits(1, 30.0)
    found.ended("a", None, 30.0)
    found.ended("a", None, 30.0)
    assert found.used(10.0) == 0


@given(
    st.integers(1, 16 * MIB),
    st.lists(st.tuples(st.booleans(), st.integers(0, 10 * MIB), st.floats(0, 20)), max_size=60),
)
def test_it_stays_within_bounds(usual: int, answers: list[tuple[bool, int, float]]) -> None:
    found, now = line.Line(usual, 5.0), 100.0
    for answered, size, took in answers:
        found.take("", size, now)
        now += took
        found.ended("", size if answered else None, now)
        if not answered:
            found.lost(took, now)
        assert min(16 * 1024, usual) <= found.room <= usual


def test_while_etcd_answers_as_usual_a_walk_goes_on() -> None:
    yielding = line.Yielding(0.0)
    for size, took in ((5_000, 0.001), (20_000, 0.002), (PAGE, 0.03), (PAGE, 0.05), (300, 0.002)):
        assert yielding.saw(size, took, LATER) == 0.0


def test_an_etcd_that_is_slower_is_left_as_much_time_as_it_took() -> None:
    yielding = line.Yielding(0.0)
    yielding.saw(PAGE, 0.03, LATER)
    assert yielding.saw(PAGE, 0.3, LATER) == pytest.approx(0.3)
    assert yielding.saw(PAGE, 7.0, LATER) == pytest.approx(1.0)
    assert yielding.saw(PAGE, 0.04, LATER) == 0.0


def test_what_is_slow_in_proportion_but_short_disturbs_nobody() -> None:
    yielding = line.Yielding(0.0)
    yielding.saw(300, 0.0005, LATER)
    assert yielding.saw(300, 0.015, LATER) == 0.0


def test_what_stays_slow_becomes_usual() -> None:
    yielding = line.Yielding(0.0)
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
    yielding = line.Yielding(now)
    for work, took, size in answers:
        worked += work
        now += work
        now += yielding.saw(size, took, now)
        assert now - 100.0 <= 2 * worked + 1e-6


def test_many_slow_answers_of_a_busy_machine_double_the_time_and_no_more() -> None:
    yielding, now = line.Yielding(0.0), 0.0
    yielding.saw(PAGE, 0.005, 0.0)
    for page in range(250):
        now += 0.05
        took = 0.3 if page % 2 else 0.005
        now += yielding.saw(PAGE, took, now)
    assert 1.8 * 250 * 0.05 <= now <= 2 * 250 * 0.05 + 1e-6
