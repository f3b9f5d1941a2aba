"""Repeated errors are counted, others never held back; the clock is the test's."""

from __future__ import annotations

from typing import Any

from zk2etcd.logs import repeats


def event(error: str = "refused", shard: str = "a", **fields: Any) -> dict[str, Any]:
    usual = {"timestamp": "t", "level": "warning", "event": "shard in error"}
    return {**usual, "shard": shard, "error": error, **fields}


def test_the_same_error_is_said_once_and_counted_when_its_window_ends() -> None:
    held = repeats.Repeats()
    said = [held.admits(event(attempt=number), float(number)) for number in range(30)]
    assert said == [True] + [False] * 29
    assert held.ended(29.9) == []
    assert held.wakes_at == 30.0
    (line,) = held.ended(30.0)
    assert (line["event"], line["error"], line["shard"]) == ("shard in error", "refused", "a")
    assert (line["repeated"], line["in_seconds"]) == (29, 30.0)


def test_what_goes_on_is_summed_up_ever_more_rarely() -> None:
    held = repeats.Repeats()
    lines: list[tuple[int, int]] = []
    for second in range(2000):
        held.admits(event(), float(second))
        lines += [(second, line["repeated"]) for line in held.ended(float(second))]
    assert lines == [(30, 30), (90, 60), (210, 120), (450, 240), (930, 480), (1530, 600)]


def test_what_has_stopped_is_said_at_once_when_it_comes_back() -> None:
    held = repeats.Repeats()
    assert held.admits(event(), 0.0)
    assert held.ended(30.0) == []
    assert held.admits(event(), 31.0)


def test_a_different_error_shard_or_level_is_never_held_back() -> None:
    held = repeats.Repeats()
    assert held.admits(event(), 0.0)
    assert held.admits(event(error="timed out"), 0.1)
    assert held.admits(event(shard="b"), 0.2)
    assert held.admits(event(level="error"), 0.3)
    assert held.admits(event(logger="kazoo.client"), 0.4)
    assert not held.admits(event(error="timed out"), 0.5)


def test_two_errors_that_take_turns_are_said_once_each() -> None:
    held = repeats.Repeats()
    said = [held.admits(event(error=error), 0.0) for error in ("a", "b") * 10]
    assert said == [True, True] + [False] * 18
    assert sorted(line["error"] for line in held.ended(31.0)) == ["a", "b"]


def test_another_start_with_the_same_error_is_a_repetition() -> None:
    held = repeats.Repeats()
    assert held.admits(event(trace_id="1"), 0.0)
    assert not held.admits(event(trace_id="2", cause="1"), 1.0)
    (line,) = held.ended(31.0)
    assert line["trace_id"] == "2"


def test_of_many_paths_the_first_are_said_and_the_others_counted() -> None:
    held = repeats.Repeats()
    lines = [event("denied", path=f"/n{number}", trace_id="1") for number in range(1000)]
    said = [line for line in lines if held.admits(line, 0.0)]
    assert [line["path"] for line in said] == [f"/n{number}" for number in range(repeats.SHOWN)]
    assert held.admits(event("too large", path="/n1", trace_id="1"), 0.0), "another reason"
    assert held.admits(event("denied", path="/n1", trace_id="2"), 0.0), "another full sync"
    (line,) = held.ended(30.0)
    assert line["repeated"] == 1000 - repeats.SHOWN
    assert "path" not in line


def test_information_is_never_held_back_and_debug_lines_only_of_many_paths() -> None:
    held = repeats.Repeats()
    assert all(held.admits(event(level="info", path="/a"), 0.0) for _ in range(100))
    assert all(held.admits(event(level="debug"), 0.0) for _ in range(100))
    foreign = [held.admits(event(level="debug", key="/a"), 0.0) for _ in range(100)]
    assert foreign.count(True) == repeats.SHOWN


def test_memory_is_bounded_and_nothing_is_hidden_beyond_it() -> None:
    held = repeats.Repeats()
    assert all(held.admits(event(error=str(number)), 0.0) for number in range(5000))
    assert len(held._windows) == repeats._MOST


def test_the_end_says_what_was_counted_so_far() -> None:
    held = repeats.Repeats()
    for _ in range(3):
        held.admits(event(), 0.0)
    (line,) = held.close(5.0)
    assert (line["repeated"], line["in_seconds"]) == (2, 5.0)
    assert held.close(6.0) == []
