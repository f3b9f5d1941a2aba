"""The full syncs of a shard that follows: when one begins, and what its end says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zk2etcd import errors
from zk2etcd_workers.mirror import full_sync, repair
from zk2etcd_workers.shard import context, facts as shard_facts, untold

_MISSED = 2


class Comparing:
    """One after another, in one stretch of following. Used by the shard's thread only."""

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        repairs: repair.Repairs,
        told: untold.Untold,
        deliver: Callable[[Any], None],
    ) -> None:
        self._ctx = ctx
        self._facts = facts
        self._repairs = repairs
        self._told = told
        self._deliver = deliver
        self._missing = 0
        """Full syncs in a row that found what no event had told of."""
        self._full_sync: full_sync.FullSync | None = None

    @property
    def runs(self) -> bool:
        return self._full_sync is not None

    def stop(self) -> None:
        """The stretch is over."""
        self._facts.course = None
        if self._full_sync is not None:
            self._full_sync.stop()

    def nominated_all(self, ended: full_sync.Ended) -> None:
        """One has compared all, and nominated what differs.

        :raises errors.Zk2EtcdError: it did not see everything.
        """
        if ended.error is not None:
            raise ended.error
        self._repairs.finish(ended)

    def tend(self, revision: int | None, due: Callable[[], str | None]) -> int | None:
        """End one, and begin one, where it is time.

        :param revision: etcd's, at the last look that found all well.
        :param due: shall one start, and with which trace id?
        :returns: how many keys there are, if one has ended.
        :raises errors.SessionDoubt: the watch of ZooKeeper cannot be trusted.
        """
        keys = None
        if self._full_sync is not None:
            self._full_sync.taken = self._repairs.taken
        if self._repairs.finished:
            keys = self._complete()
        if self._full_sync is None and (trace := due()) is not None:
            self._begin(self._ctx.traced(trace), revision)
        return keys

    def _begin(self, ctx: context.Context, revision: int | None) -> None:
        self._facts.full_sync_running = True
        self._facts.trace_id = ctx.trace_id
        self._repairs.reset(ctx)
        self._told.begins(revision, self._facts.unsyncable.denied())
        self._full_sync = full_sync.FullSync(ctx, self._facts, self._deliver)
        self._facts.course = self._full_sync.course(self._repairs.written)
        self._full_sync.start()

    def _complete(self) -> int:
        """A full sync has ended, and what it nominated has been dealt with."""
        repairs = self._repairs
        ended = repairs.close()
        self._full_sync = self._facts.course = None
        missed = repairs.missed
        self._facts.completed(ended.took, repairs.put, repairs.deleted, missed)
        self._ctx.instruments.full_sync(ended.took)
        repairs.log.info(
            "full sync done",
            keys=ended.keys,
            put=repairs.put,
            delete=repairs.deleted,
            missed=missed,
            seconds=round(ended.took, 3),
        )
        self._missing = self._missing + 1 if missed else 0
        if missed:
            self._missed_events(missed)
        return ended.keys

    def _missed_events(self, count: int) -> None:
        """:raises errors.SessionDoubt: it was so before: the watch cannot be trusted."""
        session = self._ctx.session
        why = f"ZooKeeper sent no event of {count} changes that a full sync found"
        self._repairs.log.warning(
            "events missing", error=why, protocol=session.protocol, in_a_row=self._missing
        )
        if self._missing >= _MISSED and session.protocol != "classic":
            why = f"{why}, and of others before: its recursive watch does not tell of everything"
            session.fall_back(why)
            raise errors.SessionDoubt(why)
