"""When what a failed attempt has left behind is swept up."""

from __future__ import annotations

import pytest

from zk2etcd_workers import heap


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    found: list[None] = []
    monkeypatch.setattr(heap, "sweep", lambda: found.append(None))
    return found


def test_the_next_attempt_goes_before_the_sweep(swept: list[None]) -> None:
    sweeper = heap.Sweeper()
    sweeper.tend(100.0, 0)
    sweeper.tend(100.1, 1)
    sweeper.tend(101.0, 2)
    assert not swept
    sweeper.tend(101.2, 2)
    sweeper.tend(110.0, 2)
    assert len(swept) == 1


def test_failures_one_after_another_are_swept_up_every_few_seconds(swept: list[None]) -> None:
    sweeper = heap.Sweeper()
    for tenth in range(1000, 1200):
        sweeper.tend(tenth / 10, tenth)
    assert len(swept) == 4
