"""What strangers changed of one shard's keys: which of it is put right, and when.

Only what ZooKeeper has is: a stranger's key where there is no node is the full sync's to judge,
with its guard. A shard that waits for its owner, or for a person, hears of no strangers.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from zk2etcd import conditions
from zk2etcd_workers.drift import contested, ranges, watcher
from zk2etcd_workers.mirror import pipeline, repair
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import context, facts as shard_facts

_SHOWN = 10
_TELL_EVERY = 0.5
_LOOK_EVERY = 5.0
"""Seconds until it is seen that a contested key was left in peace."""


def asks(
    ctx: context.Context,
    facts: shard_facts.Facts,
    wake: Callable[[], None],
    compare: Callable[[], None],
) -> ranges.Asks:
    """What the place of this shard may ask of it."""
    found = ranges.Asks(
        wake, lambda: facts.phase == "following", compare, lambda: facts.full_sync_running
    )
    if (of := ctx.marks) is None:
        return found
    met, path = ctx.conflicts, ctx.mapping.path

    def concerns(key: bytes, gone: bool) -> bool:
        """Others change what is theirs all the time: that is looked at only where they let go of
        what a node has no key for."""
        return of.may_have(key) or (gone and met.has(path(key)))

    return found._replace(concerns=concerns)


@contextlib.contextmanager
def heard(
    ctx: context.Context, facts: shard_facts.Facts, by: watcher.Watcher | None, asks: ranges.Asks
) -> Iterator[context.Context]:
    """The context of a shard that was just taken, told of strangers until this attempt is over, if
    that is wanted."""
    if by is None or ctx.config.sync.drift != "watch":
        yield ctx
        return
    place = by.join(ctx.mapping, ctx.fence.token, asks, ctx.ours.target)
    try:
        yield ctx.but(drift=place)
    finally:
        by.leave(place)
        facts.drift = None


class Drift:
    """Used by the shard's thread only, while it follows."""

    def __init__(
        self,
        place: ranges.Seat,
        facts: shard_facts.Facts,
        live: pipeline.Pipeline,
        repairs: repair.Repairs,
        log: Any,
    ) -> None:
        self._place = place
        self._facts = facts
        self._live = live
        self._repairs = repairs
        self._log = log
        self._contested = contested.Contested()
        self._waiting: dict[bytes, float] = {}
        self._due = math.inf
        self._repaired = 0
        self._tell_at: float | None = None
        """When it is told what is contested; None while that is known."""
        self._tell(time.monotonic())
        repairs.on_drift = self._was_tried

    def wait(self, now: float) -> float:
        """Seconds for which nothing is to be done, unless its place wakes it."""
        tell = math.inf if self._tell_at is None else self._tell_at
        return max(0.0, min(self._due, tell) - now)

    def tend(self, now: float) -> None:
        """Have put right what is due."""
        for path in self._place.take():
            self._wait(path, now)
        if now >= self._due:
            self._repairs.strange(path for path, due in self._waiting.items() if due <= now)
            self._waiting = {path: due for path, due in self._waiting.items() if due > now}
            self._due = min(self._waiting.values(), default=math.inf)
        if self._place.why != self._told.why or (
            self._tell_at is not None and now >= self._tell_at
        ):
            self._tell(now)

    def _wait(self, path: bytes, now: float) -> None:
        self._live.doubts(path)
        self._due = min(self._due, self._waiting.setdefault(path, self._contested.due(path, now)))

    def _was_tried(self, path: bytes, done: bool) -> None:
        now = time.monotonic()
        self._repaired += done
        delay = self._contested.repaired(path, now)
        if delay >= contested.FROM:
            what = "contested: somebody keeps writing this key"
            self._log.warning(what, path=tree.shown(path), next_repair_in=round(delay, 1))
        if not done:
            self._wait(path, now)
        soon = now + _TELL_EVERY
        self._tell_at = soon if self._tell_at is None else min(soon, self._tell_at)

    def _tell(self, now: float) -> None:
        self._contested.forget(now)
        paths = list(self._contested.now())
        shown = tuple(tree.shown(path) for path in itertools.islice(paths, _SHOWN))
        self._told = conditions.Drift(self._place.why, self._repaired, len(paths), shown)
        self._facts.drift = self._told
        self._tell_at = now + _LOOK_EVERY if paths else None
