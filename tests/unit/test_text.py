from __future__ import annotations

import pytest

from zk2etcd import text


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 ms"), (0.12, "120 ms"), (4.2, "4.2 s"), (59, "59 s"), (60, "1m 0s"), (185, "3m 5s"),
     (3600, "1h 0m"), (90000, "1d 1h")],
)  # fmt: skip
def test_durations(seconds: float, said: str) -> None:
    assert text.duration(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes(count: float, said: str) -> None:
    assert text.size(count) == said


@pytest.mark.parametrize(
    ("names", "said"),
    [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")],
)
def test_a_few_of_many_are_named(names: list[str], said: str) -> None:
    assert text.few(names, 2) == said
