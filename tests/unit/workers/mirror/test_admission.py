"""Who starts, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import polling
from zk2etcd_workers import turn
from zk2etcd_workers.mirror import admission

MANY = admission._USUAL + 5


class Shards:
    """Threads that enter in their order, and leave when they are told to."""

    def __init__(self) -> None:
        self.starts = admission.Admission()
        self.admitted: list[int] = []
        self.ended: list[int] = []
        self.pulses = [turn.Turn() for _ in range(MANY)]
        self.gates = [threading.Event() for _ in range(MANY)]

    def begin(self, number: int) -> None:
        thread = threading.Thread(target=self._run, args=(number,), daemon=True)
        thread.start()
        polling.until(lambda: self._seen() > number, 5)

    def _seen(self) -> int:
        return len(self.admitted) + len(self.starts._waiting) + len(self.ended)

    def _run(self, number: int) -> None:
        try:
            self.starts.enter(number, self.pulses[number])
        except turn.Stopped:
            self.ended.append(number)
            return
        self.admitted.append(number)
        assert self.gates[number].wait(30)
        self.starts.leave(number)


@pytest.fixture
def shards(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shards]:
    monkeypatch.setattr(admission, "_MOMENT", 60.0)
    made = Shards()
    for number in range(MANY):
        made.begin(number)
    yield made
    for gate in made.gates:
        gate.set()


def test_a_few_at_once_and_the_next_together_in_their_order(shards: Shards) -> None:
    most = admission._USUAL
    assert sorted(shards.admitted) == list(range(most))
    for number in range(most // 2 - 1):
        shards.gates[number].set()
        polling.until(lambda number=number: number not in shards.starts._admitted, 5)  # type: ignore[misc]
    assert max(shards.admitted) == most - 1, "they wait until half of the places are free"
    shards.gates[most // 2 - 1].set()
    polling.until(lambda: len(shards.admitted) == MANY, 5)


def test_one_that_is_stopped_waits_no_longer_and_takes_no_place(shards: Shards) -> None:
    last, before = MANY - 1, MANY - 2
    assert MANY - admission._USUAL < admission._USUAL // 2
    shards.pulses[last].stop()
    polling.until(lambda: shards.ended == [last], 2)
    for number in range(admission._USUAL):
        shards.gates[number].set()
    polling.until(lambda: before in shards.admitted, 5)
    assert last not in shards.admitted


def test_one_that_takes_long_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOMENT", 0.0)
    starts, pulse = admission.Admission(), turn.Turn()
    for number in range(3 * admission._USUAL):
        starts.enter(number, pulse)


def test_who_waits_is_not_taken_for_hung(shards: Shards) -> None:
    waiting = shards.pulses[MANY - 1]
    polling.until(lambda: waiting.rests is not None, 5)
    waiting._at = 0.0
    assert waiting.age() < 5.0


class Crowd:
    """Many who wait, without threads, at times of its own; who has a place keeps it until `end`."""

    def __init__(self, waiting: int = 200) -> None:
        self.now = 1000.0
        self.starts = admission.Admission(lambda: self.now)
        for _ in range(waiting):
            self.starts._waiting[threading.Event()] = None
        self.starts._call()

    def turn(self, *, late: float = 0.0, busy: float = 1.0) -> int:
        """A turn of the worker's loop: how many have been let in until now."""
        self.now += 0.2 + late
        self.starts.tend(late, busy)
        return 200 - len(self.starts._waiting)

    def end(self, count: int) -> None:
        for who in list(self.starts._admitted)[:count]:
            self.starts.leave(who)


def test_where_one_core_is_busy_no_more_than_a_few_start_at_once() -> None:
    crowd = Crowd()
    assert [crowd.turn() for _ in range(9)] == [admission._USUAL] * 9


def test_where_those_that_start_wait_for_servers_more_do_so_at_once() -> None:
    crowd = Crowd()
    assert [crowd.turn(busy=0.1) for _ in range(3)] == [32, 32, 32]
    crowd.end(31)
    assert len(crowd.starts._admitted) == 17, "their places were taken when half of them were free"
    assert crowd.turn(busy=0.9) == 32 + 16
    crowd.end(9)
    assert len(crowd.starts._admitted) == admission._USUAL


def test_where_the_loop_is_late_one_starts_after_the_other_however_long_it_takes() -> None:
    crowd = Crowd()
    for _ in range(30):
        assert crowd.turn(late=1.0) == admission._USUAL, "they take long: nobody joins them"
    crowd.end(admission._USUAL)
    assert len(crowd.starts._admitted) == 1
    assert crowd.turn(late=1.0) == admission._USUAL + 1
    crowd.end(1)
    assert len(crowd.starts._admitted) == 1


def test_once_the_loop_is_in_time_again_a_few_start_at_once_again() -> None:
    crowd = Crowd()
    for _ in range(5):
        crowd.turn(late=1.0)
    crowd.end(admission._USUAL)
    let_in = [crowd.turn() for _ in range(20)]
    assert let_in == sorted(let_in)
    assert let_in[0] == admission._USUAL + 2, "one more at a time"
    assert len(crowd.starts._admitted) == admission._USUAL


def test_a_late_loop_alone_takes_no_places_away() -> None:
    """Where nobody starts it is late for another reason."""
    crowd = Crowd(waiting=0)
    for _ in range(5):
        crowd.turn(late=1.0)
    for _ in range(20):
        crowd.starts._waiting[threading.Event()] = None
    crowd.starts._call()
    assert len(crowd.starts._admitted) == admission._USUAL
