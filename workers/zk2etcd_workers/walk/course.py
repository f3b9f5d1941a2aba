"""A base or a full sync under way, as it is seen from outside.

The walk only counts, which it does anyway. The worker's loop looks at those numbers now and then,
so that a walk pays nothing for being watched, and one that stands still is seen to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from zk2etcd import conditions
from zk2etcd_workers.model import progress

SAY_EVERY = 10.0
"""Seconds between two lines in the log."""

ASK_AFTER = 1.0
"""Seconds after which ZooKeeper is asked how many nodes there are: most walks end sooner."""


class Seen(NamedTuple):
    """So far: nodes read in ZooKeeper, nodes compared with etcd, keys written."""

    read: int = 0
    compared: int = 0
    written: int = 0


class Course:
    """`look` at it from one thread only; the walk itself runs in another."""

    def __init__(
        self,
        kind: conditions.WorkKind,
        seen: Callable[[], Seen],
        total: int,
        now: float,
        ask: Callable[[Callable[[int], None]], None] | None = None,
    ) -> None:
        """:param seen: called from the thread that looks.
        :param total: how many nodes there are, as far as is known; 0 if it is not.
        :param ask: finds out how many there are, and tells the callable that it is given; None if
            `total` is good enough.
        """
        self._seen = seen
        self._total = total
        self._ask = ask
        self._ask_at = now + ASK_AFTER
        self._say_at = now + SAY_EVERY
        self._pace = progress.Pace(now)
        self.work = conditions.Work(kind, 0, 0, 0, 0.0, None)

    @property
    def progress(self) -> tuple[int, int]:
        """(done, total) in nodes, total 0 when unknown; a total that was too low gives way."""
        done = self.work.compared
        return done, max(self._total, done) if self._total else 0

    def told(self, total: int) -> None:
        """Somebody knows how many nodes there are; from any thread."""
        self._total = total

    def look(self, now: float, trace_id: str, log: Any) -> None:
        """See how far it is, and say so in the log every ten seconds.

        :param log: the shard's.
        """
        read, done, written = self._seen()
        read = max(read, done)  # the walk went on between the one and the other
        rate = self._pace.saw(now, done)
        left = progress.remaining(done, self._total, rate)
        left = None if left is None else round(left, 1)
        kind = self.work.kind
        self.work = conditions.Work(kind, read, done, written, rate, left, trace_id)
        if self._ask is not None and now >= self._ask_at:
            ask, self._ask = self._ask, None
            ask(self.told)
        if now >= self._say_at:
            self._say_at = now + SAY_EVERY
            self._say(log)

    def _say(self, log: Any) -> None:
        work, (_, total) = self.work, self.progress
        log.info(
            "full sync under way",
            kind=work.kind,
            read=work.read,
            compared=work.compared,
            written=work.written,
            total=total or None,
            rate=round(work.rate),
            remaining_seconds=work.remaining_seconds,
            trace_id=work.trace_id or None,
        )
