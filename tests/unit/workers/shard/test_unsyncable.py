"""Which paths cannot be mirrored: the count, what is kept, and how often it is said."""

from __future__ import annotations

from typing import Any

import pytest

from zk2etcd_workers.shard import unsyncable

LARGE = "too large"


class Log:
    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def warning(self, _: str, **fields: Any) -> None:
        self.said.append((fields["path"], fields["reason"]))


@pytest.fixture
def log() -> Log:
    return Log()


def _paths(count: int, start: int = 0) -> list[bytes]:
    return [b"/p%06d" % number for number in range(start, start + count)]


def test_it_is_said_once_and_again_only_for_another_reason(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unsyncable.Unsyncable()
    for _ in range(3):
        found.base_begins()
        found.add(b"/a", LARGE, log)
        found.base_ended()
    assert log.said == [("/a", LARGE)]
    assert len(found) == 1
    monkeypatch.setattr(unsyncable, "_SAY_AGAIN", 0.0)
    found.add(b"/a", "larger still", log)
    assert log.said[1:] == [("/a", "larger still")]
    assert found.sample(9) == [(b"/a", "larger still")]


def test_a_node_that_flips_does_not_fill_the_log(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    found = unsyncable.Unsyncable()
    for _ in range(100):
        found.add(b"/a", LARGE, log)
        assert len(found) == 1
        found.discard(b"/a")
        assert len(found) == 0
    assert len(log.said) == 1
    monkeypatch.setattr(unsyncable, "_SAY_AGAIN", 0.0)
    found.add(b"/a", LARGE, log)
    assert len(log.said) == 2


def test_a_base_forgets_what_it_did_not_meet_again(log: Log) -> None:
    found = unsyncable.Unsyncable()
    for path in _paths(3):
        found.add(path, LARGE, log)
    found.base_begins()
    assert len(found) == 3, "until the base has ended nothing is known to be fine"
    found.add(_paths(3)[1], LARGE, log)
    found.base_ended()
    assert found.sample(9) == [(_paths(3)[1], LARGE)]


def test_the_count_is_right_beyond_what_is_kept(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsyncable, "_KEPT", 10)
    found = unsyncable.Unsyncable()
    for path in _paths(50):
        found.add(path, LARGE, log)
        found.add(path, LARGE, log)
    assert len(found) == 50
    assert len(found.sample(100)) == len(log.said) == 10
    for path in _paths(25, start=20):
        found.discard(path)
        found.discard(path)
    assert len(found) == 25
    for path in _paths(10):
        found.discard(path)
    assert len(found) == 15
    found.add(b"/new", LARGE, log)
    assert len(found) == 16
    assert found.sample(9) == [(b"/new", LARGE)]


def test_a_walk_names_some_and_counts_all(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsyncable, "_KEPT", 30)
    found = unsyncable.Unsyncable()
    found.add(b"/large", LARGE, log)
    for _ in range(3):
        found.walked(_paths(20), 5000, log)
    assert len(found) == 5001
    assert len(log.said) == 21
    for path in _paths(30, start=20):
        found.add(path, unsyncable.DENIED, log)
    found.walked(_paths(5), 5, log)
    assert len(found) == 6, "what a walk does not find unreadable is readable again"
    found.walked([], 0, log)
    assert found.sample(9) == [(b"/large", LARGE)]
