"""How far a walk is, and what is said of it while it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zk2etcd_workers.walk import course


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})


class Walk:
    """100 nodes a second are compared, and read ten ahead."""

    def __init__(self, total: int, ask: Callable[[Callable[[int], None]], None] | None = None):
        self.now, self.log = 0.0, Log()
        self.course = course.Course("base", self._seen, total, 0.0, ask)

    def _seen(self) -> course.Seen:
        done = int(self.now * 100)
        return course.Seen(done + 10, done, done // 2)

    def until(self, now: float) -> None:
        while self.now < now:
            self.now += 0.5
            self.course.look(self.now, "t-1", self.log)


def test_a_walk_is_told_of_every_ten_seconds() -> None:
    walk = Walk(4000)
    walk.until(9.5)
    assert walk.log.lines == []
    walk.until(29.5)
    first, second = walk.log.lines
    assert first == {
        "event": "full sync under way",
        "kind": "base",
        "read": 1010,
        "compared": 1000,
        "written": 500,
        "total": 4000,
        "rate": 100,
        "remaining_seconds": 30.0,
        "trace_id": "t-1",
    }
    assert (second["compared"], second["remaining_seconds"]) == (2000, 20.0)


def test_an_unknown_total_is_asked_for_once_a_walk_takes_a_while() -> None:
    asked: list[Callable[[int], None]] = []
    walk = Walk(0, asked.append)
    walk.until(0.5)
    assert (asked, walk.course.progress, walk.course.work.remaining_seconds) == ([], (50, 0), None)
    walk.until(5.0)
    (tell,) = asked
    tell(2000)
    assert walk.course.progress == (500, 2000)
    walk.until(10.0)
    assert walk.course.work.remaining_seconds == 10.0


def test_a_total_that_was_too_low_gives_way_and_estimates_nothing() -> None:
    walk = Walk(30)
    walk.until(2.0)
    assert walk.course.progress == (200, 200)
    assert walk.course.work.remaining_seconds is None


def test_a_walk_whose_total_nobody_knows_says_so() -> None:
    walk = Walk(0)
    walk.until(10.0)
    (line,) = walk.log.lines
    assert (line["total"], line["remaining_seconds"], line["rate"]) == (None, None, 100)


def test_a_walk_that_goes_on_while_it_is_looked_at_has_read_what_it_compared() -> None:
    running = course.Course("base", lambda: course.Seen(read=90, compared=100), 0, 0.0)
    running.look(1.0, "", Log())
    assert (running.work.read, running.work.compared) == (100, 100)
