"""Are these too many live deletes at once? Pure: times are monotonic, and arguments.

A network cut that ends every session looks, live, just like every instance being stopped. What
counts is the net loss within a window of time, place by place, as a walk's does (`turnover`).
"""

from __future__ import annotations

import collections
from typing import NamedTuple

from zk2etcd import text
from zk2etcd.config import mirroring
from zk2etcd_workers.model import tree, turnover

MOST = 200_000
"""Nodes that are remembered of each side. A window with more deletes trips; of what comes, the
oldest are forgotten."""

_STEP = 8
"""One more that goes takes so many from what counts as replaced, at most, among small trees: the
share of its subtree."""

_PARTS = 16
"""So often within a window it is noted how many keys there are."""


class Loss(NamedTuple):
    """So many keys go within the window, none in their place, of `present` before. `creates`: what
    came in the places where something went."""

    lost: int
    present: int
    creates: int
    reason: str


class _Mark(NamedTuple):
    at: float
    present: int
    zxid: int


class Window:
    """What went and came within the last while, by the time when that was seen."""

    def __init__(self, limits: mirroring.LiveGuard, present: int, zxid: int, now: float) -> None:
        self._limits = limits
        self._went: dict[bytes, float] = {}
        self._came: dict[bytes, float] = {}
        self._marks = collections.deque([_Mark(now, present, zxid)])
        self._present = present
        self._room = -1
        """So many more may go before the loss is worth counting."""

    def look(self, now: float, present: int, zxid: int) -> None:
        """So many keys there are now, and ZooKeeper has come so far."""
        last = self._marks[-1]
        if now - last.at >= self._limits.window / _PARTS:
            self._marks.append(_Mark(now, present, zxid))
        else:
            self._marks[-1] = last._replace(present=max(last.present, present))
        self._present = max(self._present, present)
        self._forget(now)

    def _forget(self, now: float) -> None:
        """What is older counts no more. A create that is forgotten may have excused a delete."""
        before = now - self._limits.window
        while (path := next(iter(self._went), None)) is not None and self._went[path] < before:
            del self._went[path]
        while (path := next(iter(self._came), None)) is not None and (
            self._came[path] < before or len(self._came) > MOST
        ):
            del self._came[path]
            self._room -= 1
        marks = self._marks
        while len(marks) > 1 and marks[1].at < before:
            marks.popleft()
        present = max(mark.present for mark in marks)
        if present < self._present:
            self._present, self._room = present, -1

    def goes(self, path: bytes, now: float) -> float | None:
        """ZooKeeper had this node, and has it no more. When it came, if that was seen."""
        self._forget(now)
        self._room -= 1
        if (came := self._came.pop(path, None)) is None:
            self._went.pop(path, None)
            self._went[path] = now
        return came

    def undo(self, path: bytes, came: float | None = None) -> None:
        """It did not, or there was no key of it: it came and went before it was read."""
        self._went.pop(path, None)
        if came is not None:
            self._came[path] = came

    def comes(self, node: tree.Node, now: float) -> None:
        """It was read: perhaps it is new, or back."""
        if self._went.pop(node.path, None) is None and node.czxid > self._marks[0].zxid:
            self._came.setdefault(node.path, now)

    def loss(self) -> Loss | None:
        """Why no more may go, or None."""
        if self._room >= 0:
            return None
        limits, present = self._limits, max(self._present, 1)
        most = min(max(limits.min_deletes, int(limits.max_ratio * present)), MOST)
        if len(self._went) <= most:
            self._room = (most - len(self._went)) // _STEP
            return None
        went, came = _side(self._went), _side(self._came)
        lost = went.total - turnover.replaced(went, came)
        if lost <= most:
            self._room = (most - lost) // _STEP
            return None
        creates = turnover.beside(went, came)
        what = ", with none in their place" if creates else ""
        reason = (
            f"live deletes of {lost / present:.0%} of the keys within "
            f"{text.duration(limits.window)}{what} "
            f"(delete_guard.live.max_ratio {limits.max_ratio:.0%})"
        )
        return Loss(lost, self._present, creates, reason)


def _side(paths: dict[bytes, float]) -> turnover.Side:
    side = turnover.Side()
    for path in sorted(paths):
        side.saw(path)
    return side
