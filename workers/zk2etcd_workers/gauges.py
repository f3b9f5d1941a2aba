"""What a following shard measures of itself: how fresh it is, and how many keys there are."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from zk2etcd_workers import context, etcd, watch, zookeeper

_SYNC_EVERY = 1.0
_COUNT_EVERY = 5.0
_BIG_SHARD = 100_000


class Synced:
    """The tag of a `sync`: `sent` in wall-clock seconds."""

    def __init__(self, sent: float) -> None:
        self.sent = sent


class Freshness:
    """The truth about freshness, on a quiet prefix too: every second a `sync`, and once all that
    was dirty when it was answered has been written, the shard is as new as when it was sent."""

    def __init__(self, ctx: context.Context, facts: context.Facts, dirty: watch.Dirty) -> None:
        self._ctx = ctx
        self._facts = facts
        self._dirty = dirty
        self._at = 0.0
        self._awaited: tuple[float, int] | None = None

    def ask(self, now: float, sink: zookeeper.ReplySink) -> None:
        """Send the next `sync` if it is time: a second after an answer, or when one is overdue."""
        if now >= self._at:
            self._at = now + self._ctx.config.zookeeper.request_timeout
            self._ctx.session.sync(self._ctx.root, sink, Synced(time.time()))

    def answered(self, reply: zookeeper.Reply) -> None:
        if reply.error is None:
            self._awaited = (reply.tag.sent, self._dirty.sequence)
            self._at = time.monotonic() + _SYNC_EVERY

    def look(self, busy: Mapping[bytes, int]) -> None:
        """Has everything been written that was dirty or busy at the last answer?"""
        if self._awaited is None:
            return
        sent, mark = self._awaited
        if self._dirty.any_until(mark) or any(each <= mark for each in busy.values()):
            return
        self._awaited = None
        self._facts.synced_at = sent


class Counted:
    """How many keys etcd holds in the shard's range, or None if it did not say."""

    def __init__(self, answer: etcd.Answer | None) -> None:
        self.keys = sum(answer.counts()) if answer is not None else None


class Tally:
    """The number of keys, kept true while following: what is created, set and deleted at once
    cannot be told apart in the pipeline, so etcd is asked now and then."""

    def __init__(self, ctx: context.Context, facts: context.Facts) -> None:
        self._ctx = ctx
        self._facts = facts
        self._at = 0.0
        self._last: int | None = None
        self._wrote = True

    def wrote(self) -> None:
        self._wrote = True

    def restart(self, keys: int) -> None:
        """A full sync has counted them."""
        self._facts.keys, self._last, self._wrote = keys, None, True

    def ask(self, now: float, deliver: Callable[[Any], None]) -> None:
        """Count if something was written. A count walks etcd's index: a big shard asks less."""
        if not self._wrote or now < self._at:
            return
        self._wrote = False
        self._at = now + _COUNT_EVERY * (1 + self._facts.keys // _BIG_SHARD)
        start, end = self._ctx.mapping.below()
        ranges = [etcd.Range(start, end, count_only=True)]
        if start != self._ctx.mapping.target:
            ranges.append(etcd.Range(self._ctx.mapping.target, count_only=True))
        self._ctx.etcd.txn_soon(etcd.Txn((), ranges), lambda answer, _: deliver(Counted(answer)))

    def counted(self, counted: Counted) -> None:
        """Foreign and excluded keys are in the count too: only its changes matter."""
        if counted.keys is None:
            return
        if self._last is not None:
            self._facts.keys += counted.keys - self._last
        self._last = counted.keys
