"""How fast a walk is and how long it will take, from what was seen of it. Pure: the clock is an
argument, in seconds of any one origin."""

from __future__ import annotations

import collections

WINDOW = 5.0
_CLOSEST = 0.2


class Pace:
    """Nodes a second over the last few seconds: a walk slows down and speeds up, and an average
    since its start would say so too late."""

    def __init__(self, began: float, window: float = WINDOW) -> None:
        self._marks = collections.deque([(began, 0)])
        self._window = window

    def saw(self, now: float, done: int) -> float:
        """`done` nodes by `now`, looked at as often as you like: the rate now."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= now - self._window:
            marks.popleft()
        since, before = marks[0]
        if now - marks[-1][0] >= _CLOSEST:
            marks.append((now, done))
        return (done - before) / (now - since) if now - since >= _CLOSEST else 0.0


def remaining(done: int, total: int, rate: float) -> float | None:
    """Seconds until `total` is reached; None if nobody can know, since the total is unknown (0) or
    was too low, or nothing moves."""
    return (total - done) / rate if done < total and rate > 0 else None
