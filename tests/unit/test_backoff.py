from __future__ import annotations

import random

from hypothesis import given, strategies as st

from zk2etcd import backoff


def test_doubles_from_the_minimum_to_the_maximum() -> None:
    delays = backoff.Backoff(1.0, 60.0, immediate=3, jitter=0.0)
    found = [delays.delay(attempt, random.Random(0)) for attempt in range(1, 12)]
    assert found == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


@given(st.integers(1, 10_000), st.integers(0, 5), st.floats(0.0, 1.0), st.randoms())
def test_stays_between_zero_and_the_maximum(
    attempt: int, immediate: int, jitter: float, rng: random.Random
) -> None:
    delays = backoff.Backoff(0.5, 30.0, immediate, jitter)
    delay = delays.delay(attempt, rng)
    assert delay <= 30.0
    assert (delay == 0.0) == (attempt <= immediate)
