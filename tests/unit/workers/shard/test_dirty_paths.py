from __future__ import annotations

import threading

import pytest
from hypothesis import given, strategies as st

from zk2etcd import errors
from zk2etcd_workers.model import mapping
from zk2etcd_workers.shard import dirty_paths

CREATED, DELETED, CHANGED = 1, 2, 3


class _Woken:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


def _dirty(limit: int = 100, exclude: tuple[str, ...] = ()) -> dirty_paths.Dirty:
    return dirty_paths.Dirty(mapping.Mapping("/s", "/s", exclude), limit, _Woken())


def _paths(count: int, prefix: str = "n") -> list[bytes]:
    return [f"/s/{prefix}{number}".encode() for number in range(count)]


def test_a_path_that_changed_ten_times_is_there_once_oldest_first() -> None:
    dirty = _dirty()
    for _ in range(10):
        dirty.event(CHANGED, b"/s/a")
        dirty.event(CHANGED, b"/s/b")
    assert list(dirty.take(10)) == [b"/s/a", b"/s/b"]
    assert len(dirty) == 0
    assert dirty.take(10) == {}


def test_take_is_bounded_and_keeps_the_order() -> None:
    dirty = _dirty()
    paths = _paths(10)
    for path in paths:
        dirty.mark(path)
    assert [*dirty.take(4), *dirty.take(4), *dirty.take(4)] == paths


def test_only_the_first_arrival_wakes() -> None:
    woken = _Woken()
    dirty = dirty_paths.Dirty(mapping.Mapping("/s", "/s"), 100, woken)
    for path in _paths(5):
        dirty.event(CREATED, path)
    assert woken.times == 1
    dirty.take(10)
    dirty.event(CREATED, b"/s/x")
    assert woken.times == 2


def test_excluded_paths_do_not_enter() -> None:
    dirty = _dirty(exclude=("/s/config",))
    for path in (b"/s/config", b"/s/config/a", b"/s/configurators"):
        dirty.event(DELETED, path)
    assert list(dirty.take(10)) == [b"/s/configurators"]


def test_a_full_queue_overflows_and_says_so() -> None:
    dirty = _dirty(limit=10)
    for path in _paths(10):
        dirty.mark(path)
    dirty.mark(_paths(10)[0])
    dirty.check()
    dirty.mark(b"/s/more")
    with pytest.raises(errors.Overflow):
        dirty.check()
    assert len(dirty) == 0
    dirty.restart()
    dirty.check()
    dirty.mark(b"/s/again")
    assert list(dirty.take(10)) == [b"/s/again"]


def test_an_overflow_wakes_once_whatever_comes_after() -> None:
    """Nobody may be there to empty the inbox: while etcd is away, the shard's thread waits."""
    woken = _Woken()
    dirty = dirty_paths.Dirty(mapping.Mapping("/s", "/s"), 10, woken)
    for path in _paths(1000):
        dirty.event(CHANGED, path)
    assert woken.times == 2


def test_deletes_seen_around_an_overflow_stay_known_until_a_base_has_dealt_with_them() -> None:
    dirty = _dirty(limit=10)
    before, after = _paths(10, "before"), _paths(30, "after")
    for path in before:
        dirty.event(DELETED, path)
    for path in after:
        dirty.event(DELETED, path)
    dirty.event(CHANGED, b"/s/changed")
    dirty.restart()
    assert all(dirty.was_deleted(path) for path in before + after)
    assert not dirty.was_deleted(b"/s/changed")
    assert not dirty.was_deleted(b"/s/other")
    dirty.settle()
    assert not any(dirty.was_deleted(path) for path in before + after)


def test_deletes_of_an_overflow_during_the_base_are_known_to_the_next_one() -> None:
    dirty = _dirty(limit=10)
    dirty.restart()
    paths = _paths(30)
    for path in paths:
        dirty.event(DELETED, path)
    dirty.settle()
    with pytest.raises(errors.Overflow):
        dirty.check()
    dirty.restart()
    assert all(dirty.was_deleted(path) for path in paths)


def test_deletes_that_waited_when_the_session_broke_stay_known() -> None:
    dirty = _dirty()
    dirty.event(DELETED, b"/s/a")
    dirty.event(CHANGED, b"/s/b")
    dirty.restart()
    assert dirty.was_deleted(b"/s/a")
    assert not dirty.was_deleted(b"/s/b")


def test_what_is_put_back_keeps_its_age_and_its_delete() -> None:
    dirty = _dirty()
    dirty.event(DELETED, b"/s/old")
    taken = dirty.take(10)
    dirty.event(CHANGED, b"/s/young")
    dirty.event(CREATED, b"/s/old")
    for path, mark in taken.items():
        dirty.put_back(path, mark)
    assert dirty.any_until(min(taken.values()))
    assert not dirty.any_until(min(taken.values()) - 2)
    assert b"/s/old" in dirty
    dirty.restart()
    assert dirty.was_deleted(b"/s/old")


def test_put_back_after_the_queue_was_emptied() -> None:
    dirty = _dirty()
    dirty.mark(b"/s/a")
    taken = dirty.take(1)
    dirty.put_back(b"/s/a", taken[b"/s/a"])
    assert dirty.take(1) == taken


def test_marks_grow_and_the_sequence_covers_what_was_marked() -> None:
    dirty = _dirty()
    dirty.event(DELETED, b"/s/a")
    before = dirty.sequence
    dirty.event(DELETED, b"/s/b")
    marks = dirty.take(10)
    assert marks[b"/s/a"] <= before < marks[b"/s/b"]
    assert not dirty.any_until(dirty.sequence)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from([CREATED, DELETED, CHANGED]))))
def test_every_path_that_was_marked_comes_out(events: list[tuple[int, int]]) -> None:
    dirty = _dirty(limit=1000)
    out: set[bytes] = set()
    for number, (name, kind) in enumerate(events):
        dirty.event(kind, f"/s/{name}".encode())
        if number % 3 == 0:
            out.update(dirty.take(2))
    out.update(dirty.take(1000))
    assert out == {f"/s/{name}".encode() for name, _ in events}


def test_marks_from_other_threads_are_not_lost() -> None:
    dirty = _dirty(limit=100_000)
    out: set[bytes] = set()

    def mark(prefix: str) -> None:
        for path in _paths(3000, prefix):
            dirty.mark(path)

    threads = [threading.Thread(target=mark, args=(prefix,)) for prefix in "abc"]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        out.update(dirty.take(7))
    out.update(dirty.take(100_000))
    assert len(out) == 9000


def test_a_delete_that_is_an_answer_was_not_seen_live() -> None:
    dirty = _dirty()
    dirty.event(DELETED, b"/s/seen")
    dirty.restart()
    dirty.asks()
    for path in (b"/s/seen", b"/s/unseen", b"/s/unseen"):
        dirty.event(DELETED, path)
    dirty.event(CHANGED, b"/s/set")
    assert dirty.answered() == {b"/s/unseen"}
    assert b"/s/unseen" in dirty.heard
    dirty.event(DELETED, b"/s/live")
    marks = dirty.take(10)
    assert {path for path, mark in marks.items() if mark & 1} == {b"/s/seen", b"/s/live"}
    assert marks.keys() == {b"/s/seen", b"/s/unseen", b"/s/set", b"/s/live"}
    dirty.restart()
    assert not dirty.was_deleted(b"/s/unseen")


def test_an_answer_that_is_not_taken_is_forgotten() -> None:
    dirty = _dirty()
    dirty.asks()
    dirty.event(DELETED, b"/s/a")
    dirty.restart()
    dirty.event(DELETED, b"/s/b")
    assert dirty.answered() == set()
    dirty.restart()
    assert not dirty.was_deleted(b"/s/a")
    assert dirty.was_deleted(b"/s/b")


def test_an_answer_that_runs_over_is_not_kept_either() -> None:
    dirty = _dirty(limit=3)
    dirty.asks()
    for path in _paths(100):
        dirty.event(DELETED, path)
    assert dirty.has_overflowed
    assert len(dirty.answered()) <= 4
    dirty.restart()
    assert not any(dirty.was_deleted(path) for path in _paths(100))
