"""Who starts, and when."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests import polling
from zk2etcd_workers import turn
from zk2etcd_workers.mirror import admission

MANY = admission._AT_ONCE + 5


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


def test_a_few_at_once_and_the_next_in_their_order(shards: Shards) -> None:
    most = admission._AT_ONCE
    assert sorted(shards.admitted) == list(range(most))
    for number in range(5):
        shards.gates[number].set()
        polling.until(lambda number=number: most + number in shards.admitted, 5)  # type: ignore[misc]
        assert max(shards.admitted) == most + number


def test_one_that_is_stopped_waits_no_longer_and_takes_no_place(shards: Shards) -> None:
    last, before = MANY - 1, MANY - 2
    shards.pulses[last].stop()
    polling.until(lambda: shards.ended == [last], 2)
    for number in range(admission._AT_ONCE):
        shards.gates[number].set()
    polling.until(lambda: before in shards.admitted, 5)
    assert last not in shards.admitted


def test_one_that_takes_long_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_MOMENT", 0.0)
    starts, pulse = admission.Admission(), turn.Turn()
    for number in range(3 * admission._AT_ONCE):
        starts.enter(number, pulse)


def test_who_waits_is_not_taken_for_hung(shards: Shards) -> None:
    waiting = shards.pulses[MANY - 1]
    polling.until(lambda: waiting.rests is not None, 5)
    waiting._at = 0.0
    assert waiting.age() < 5.0
