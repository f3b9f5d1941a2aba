"""What a following shard counts: the keys it has in etcd (how fresh it is: `freshness`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import paging
from zk2etcd_workers.shard import context, facts as shard_facts

_COUNT_EVERY = 5.0
_BIG_SHARD = 100_000
_BIG_PREFIX = 20_000
_PAGE = 5_000
_NEVER = 60.0


class Counted(NamedTuple):
    """What etcd said about how many keys there are; `answer` None if it did not."""

    answer: wire.Answer | None


class Tally:
    """The number of keys, kept true while following: what is created, set and deleted at once
    cannot be told apart in the pipeline, so etcd is asked now and then. It cannot count the keys of
    one bucket: those are paged through and told apart here, and less often, the more of them the
    worker has; not where a walk has just counted them."""

    def __init__(self, ctx: context.Context, facts: shard_facts.Facts) -> None:
        self._ctx = ctx
        self._facts = facts
        self._at = 0.0
        self._last = facts.counted
        # Of a whole prefix only changes matter, from a first count on.
        self._wrote = ctx.mapping.buckets == 1 and facts.counted is None
        self._found: int | None = None
        """So far, while the keys of a bucket are paged through, as they were at `_revision`."""
        self._revision = 0
        self._pages = paging.Pages(b"", b"")

    def wrote(self) -> None:
        self._wrote = True

    def restart(self, keys: int) -> None:
        """A full sync has counted them."""
        self._facts.keys, self._last = keys, None
        self._wrote = self._wrote or self._ctx.mapping.buckets == 1

    def due(self, now: float) -> float:
        """Seconds until it has something to ask; many if it has nothing to."""
        return max(0.0, self._at - now) if self._wrote else _NEVER

    def ask(self, now: float, deliver: Callable[[Any], None]) -> None:
        """Count if something was written. A count walks etcd's index: a big shard asks less."""
        if not self._wrote or now < self._at or self._found is not None:
            return
        self._wrote = False
        mapped, keys = self._ctx.ours, self._facts.keys
        start, end = mapped.below()
        if mapped.buckets > 1:
            every = _COUNT_EVERY * (1 + keys * mapped.buckets // _BIG_PREFIX)
            self._at = now + every * self._ctx.siblings
            self._found = self._revision = 0
            self._pages = paging.Pages(start, end, mapped.next)
            ranges = [wire.Range(start, end, _PAGE, keys_only=True)]
        else:
            self._at = now + _COUNT_EVERY * (1 + keys // _BIG_SHARD)
            ranges = [wire.Range(start, end, count_only=True)]
        if start != mapped.target:
            ranges.insert(0, ranges[0]._replace(key=mapped.target, end=b""))
        self._send(ranges, deliver)

    def _send(self, ranges: list[wire.Range], deliver: Callable[[Any], None]) -> None:
        self._ctx.etcd.txn_soon(wire.Txn((), ranges), lambda answer, _: deliver(Counted(answer)))

    def counted(self, counted: Counted, deliver: Callable[[Any], None]) -> None:
        """Foreign and excluded keys are in etcd's count too: only its changes matter."""
        if counted.answer is None:
            self._found = None
            return
        if self._ctx.mapping.buckets > 1:
            if not self._goes_on(counted.answer, deliver):
                self._facts.keys, self._found = self._found or 0, None
            return
        keys = sum(counted.answer.counts())
        if self._last is not None:
            self._facts.keys += keys - self._last
        self._last = keys

    def _goes_on(self, answer: wire.Answer, deliver: Callable[[Any], None]) -> bool:
        """Count a page of a bucket, and ask for the next if there is one."""
        mapped = self._ctx.ours
        self._revision = self._revision or answer.revision
        *_, page = found = list(answer.ranges())
        for each in found:
            self._found = (self._found or 0) + sum(map(mapped.is_image, each.keys))
        self._pages.saw(page.keys, page.total, more=page.more)
        if self._pages.done:
            return False
        start, end = self._pages.start, self._pages.stop
        self._send(
            [wire.Range(start, end, _PAGE, keys_only=True, revision=self._revision)], deliver
        )
        return True
