"""A first sync looks ahead, once: what it has read says how large the rest will be, and etcd how
much it takes. Nothing is stopped for it: an estimate is no fact, and a person is told in time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from zk2etcd import text
from zk2etcd_workers.etcd import quota
from zk2etcd_workers.model import plan, space
from zk2etcd_workers.shard import context, facts as shard_facts

_AFTER = 1.5
"""Seconds into the walk. Most end sooner; ZooKeeper has said by then how many nodes there are."""


class Foresight:
    """What one base has read so far. Used by its thread; etcd is asked in another one, since it may
    take its time."""

    def __init__(self, ctx: context.Context, facts: shard_facts.Facts) -> None:
        self._ctx = ctx
        self._facts = facts
        self._at = time.monotonic() + _AFTER
        self._marks = ctx.marks
        self._nodes = self._size = self._marked = 0

    def saw(self, writes: Sequence[plan.Write], size: int) -> None:
        """:param size: their bytes; where each is marked, that is counted here."""
        self._nodes += len(writes)
        if self._marks is None:
            self._size += size
            return
        names = sum(len(write.key) for write in writes)
        self._size += names + sum(len(write.value or b"") for write in writes)
        self._marked += names + len(self._marks.base) * len(writes)

    def look(self) -> None:
        """Say so once if what is to come will not fit."""
        course = self._facts.course
        if course is None or time.monotonic() < self._at or not course.progress[1]:
            return
        self._at = float("inf")
        done, total = course.progress
        # The other buckets of the prefix are as far, more or less.
        left = (total - done) * self._ctx.mapping.buckets
        to_come = space.Seen(self._nodes, self._size).to_come(left)
        if self._marks is not None:
            to_come += space.Seen(self._nodes, self._marked).to_come(left)
        threading.Thread(target=self._ask, args=(to_come,), name="quota", daemon=True).start()

    def _ask(self, to_come: int) -> None:
        found = quota.ask(self._ctx.etcd.endpoint, self._ctx.config.etcd)
        if found is not None and not space.fits(found, to_come):
            self._ctx.log.warning(
                "etcd is too small for what is to come",
                to_come=f"about {text.size(to_come)}",
                free=text.size(found.free),
                quota=text.size(found.quota),
                remedy="raise etcd's --quota-backend-bytes, or exclude what need not be mirrored",
            )
