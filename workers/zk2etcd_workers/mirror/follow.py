"""Following one shard: what was read of a dirty path is written to etcd, over and over.

Everything that happens, in ZooKeeper, in etcd or in a full sync beside it, comes through one inbox
and is handled by the shard's own thread, in the order in which it came. Any doubt ends it.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import appliers, full_sync, inbox as inboxes, pipeline, repair
from zk2etcd_workers.mirror.mending import comparing, drift
from zk2etcd_workers.model import paging, plan, tree
from zk2etcd_workers.rounds import rounds, seat
from zk2etcd_workers.safety import identity as identities, lasting, live
from zk2etcd_workers.shard import (
    apply,
    confirm,
    context,
    dirty_paths,
    event_log,
    facts as shard_facts,
    freshness,
    gauges,
    unsyncable,
    untold,
)
from zk2etcd_workers.zookeeper import reply as replies


class _Below(NamedTuple):
    """A page of the keys below a deleted one, and how the others are read."""

    pages: paging.Pages
    answer: wire.Answer | None
    error: errors.EtcdError | None


class Follow:
    """One stretch of following, between two bases."""

    def __init__(
        self,
        ctx: context.Context,
        facts: shard_facts.Facts,
        dirty: dirty_paths.Dirty,
        inbox: inboxes.Inbox,
        identity: identities.Identity,
        asking: rounds.Rounds,
    ) -> None:
        self._ctx = ctx
        self._facts = facts
        self._dirty = dirty
        self._inbox = inbox
        self._identity = identity
        self._asking = asking
        self._applier = appliers.applier(ctx, inbox.put)
        self._pipeline = pipeline.Pipeline(ctx, dirty, self._applier, inbox.put)
        mark = functools.partial(dirty.mark, deleted=True)
        self._live = live.Live(ctx, facts, mark, self._pipeline.again)
        self._last = lasting.Lasting(ctx, facts, mark, self._look_below_path)
        self.freshness = freshness.Freshness(ctx, facts, dirty)
        self._tally = gauges.Tally(ctx, facts)
        self._told = untold.Untold(dirty.heard, ctx.since, compares=ctx.resumed)
        self.seat = seat.Seat(ctx, self.freshness, self._told, inbox.put)
        self._is_quiet = False
        busy = self._pipeline.busy
        told, keeps = self._told, self._last.keeps
        self.repairs = repair.Repairs(ctx, self._applier, busy, dirty, told, inbox.put, keeps)
        self._comparing = comparing.Comparing(ctx, facts, self.repairs, self._told, inbox.put)
        self._drift: drift.Drift | None = None
        if ctx.drift is not None:
            self._drift = drift.Drift(ctx.drift, facts, self._pipeline, self.repairs, ctx.log)

    def run(self, zxid: int, due: Callable[[], str | None]) -> None:
        """Follow until something is in doubt.

        :param zxid: the checkpoint so far.
        :param due: asked now and then: shall a full sync start, and with which trace id?

        :raises errors.Zk2EtcdError: the shard must start over.
        :raises turn.Stopped: asked to stop; nothing new was begun, `settle` waits for the rest.
        """
        self._applier.saw(zxid)
        self._live.begin(zxid)
        self._is_quiet = self.freshness.look(self._pipeline.busy)
        self._asking.join(self.seat)
        try:
            while True:
                self._ctx.turn.beat()
                self._receive()
                self._doubt()
                self._judge()
                self._pipeline.read()
                self._pipeline.write()
                self._tick(time.monotonic(), due)
        finally:
            self._asking.leave(self.seat)
            self._comparing.stop()
            self._pipeline.put_back()

    def settle(self, seconds: float) -> None:
        """Wait for the writes under way, up to a deadline; the fence settles what is left."""
        deadline = time.monotonic() + seconds
        while self._applier.in_flight and (left := deadline - time.monotonic()) > 0:
            item = self._inbox.get(left)
            if isinstance(item, apply.Ack):
                self._acknowledged(item)

    # --- the inbox ---------------------------------------------------------------------------

    def _rest(self) -> Any:
        """The next item. With nothing under way, and nothing due, nobody wakes up for nothing:
        `rounds` asks what is to be asked, and looks after the rest."""
        now = time.monotonic()
        due = min(self._tally.due(now), self._live.next(now))
        if not self._is_quiet or self._comparing.runs or self._applier.in_flight:
            due = 0.0
        elif self._drift is not None:
            due = min(due, self._drift.wait(now))
        with self._ctx.turn.idle(self._inbox.is_empty, self._inbox.wake):
            return self._inbox.get(max(turn.SLICE, due))

    def _receive(self) -> None:
        waits = self._pipeline.waits or self.repairs.waits
        item = self._inbox.get(0.005) if waits else self._rest()
        while item is not None:
            self._handle(item)
            item = self._inbox.get(0)

    def _handle(self, item: Any) -> None:
        if isinstance(item, replies.Reply):
            self._replied(item)
        elif isinstance(item, apply.Ack):
            self._acknowledged(item)
        elif isinstance(item, seat.Looked):
            self._looked_at_owner(item)
        elif isinstance(item, seat.Root):
            self.freshness.root_is(item.node)
        elif isinstance(item, seat.Synced):
            self._told.synced(item.zxid)
        elif isinstance(item, errors.Zk2EtcdError):
            raise item
        elif isinstance(item, gauges.Counted):
            self._tally.counted(item, self._inbox.put)
        elif isinstance(item, _Below):
            self._looked_below(item)
        elif isinstance(item, repair.Found):
            self.repairs.found(item)
        elif isinstance(item, full_sync.Nominated):
            self.repairs.nominate(item.paths)
        elif isinstance(item, full_sync.Ended):
            self._comparing.nominated_all(item)
            self._last.compared(item.kept)

    def _replied(self, reply: replies.Reply) -> None:
        is_repair = isinstance(reply.tag, repair.Batch)
        known = 0 if is_repair else self._pipeline.answered(reply.tag)
        if reply.error is not None:
            raise reply.error
        if reply.epoch != self._ctx.epoch:
            raise errors.SessionDoubt("the ZooKeeper session changed")
        self._applier.saw(reply.zxid)
        self._ctx.ring.heard(zip((path for _, path in reply.ops), reply.results, strict=True))
        if is_repair:
            self.repairs.read(reply)
            return
        if logger.hears_debug():
            name = event_log.batch(self._ctx.trace_id, reply.tag)
            self._ctx.log.debug("batch read", trace_id=name, paths=len(reply.ops))
        self._pipeline.saw(reply.results)
        for (_, path), result in zip(reply.ops, reply.results, strict=True):
            self._plan(path, result, reply.tag, known)

    def _plan(self, path: bytes, result: tree.Node | tree.Miss, batch: int, known: int) -> None:
        ctx = self._ctx
        key = ctx.mapping.key(path)
        if self._identity.concerns(path):
            self._identity.saw(path, result)
        if absent := confirm.is_absent(ctx, result):
            self._last.is_gone(path)
        if ctx.mapping.narrows and ctx.mapping.is_excluded(path):
            if path == ctx.root:
                self._root_of_others(result)
            self._pipeline.release(path)
            return
        if absent:
            if ctx.config.sync.deletes == "apply":
                zxid = known if result is tree.Miss.NO_NODE else 0
                self._went(plan.Write(key, None, path, zxid, batch=batch))
                return
        elif isinstance(result, tree.Node):
            self._facts.largest = max(self._facts.largest or 0, len(result.data))
            self._live.is_there(result)
            self._last.is_there(path)
            if not self._pipeline.stands(path, result.data):
                self._applier.add([plan.put(key, result, mtime=result.mtime, batch=batch)])
                return
            self._last.came(path)
            self._facts.unsyncable.discard(path)
        else:
            self._facts.unsyncable.add(path, unsyncable.DENIED, ctx.log)
        self._pipeline.release(path)

    def _went(self, write: plan.Write) -> None:
        if self._last.is_on:
            self._last.asks(write)
        else:
            self._goes(write)

    def _judge(self) -> None:
        """What went in this turn may have been the last of its folder."""
        free, kept = self._last.judged()
        for write in free:
            self._goes(write)
        for write in kept:
            self._live.kept(write.path)
            self._pipeline.release(write.path)

    def _goes(self, write: plan.Write) -> None:
        if self._live.may_go(write.path):
            self._applier.add([write])
            return
        self._last.stays(write.path)
        if not self._live.defers(write.path):
            self._pipeline.release(write.path)

    def _root_of_others(self, result: tree.Node | tree.Miss) -> None:
        """The root's own key is not ours; when it is gone, what we have below it is dirty still."""
        if confirm.is_absent(self._ctx, result) and self._ctx.config.sync.deletes == "apply":
            self._look_below(paging.Pages(*self._ctx.ours.below()))

    def _looked_at_owner(self, looked: seat.Looked) -> None:
        self._ctx.fence.check(looked.standing)
        if looked.standing.answer is None:
            self.freshness.etcd_silent()
        else:
            self._told.etcd_at(looked.standing.answer.revision)

    def _acknowledged(self, ack: apply.Ack) -> None:
        settled = self._applier.settle(ack)
        self._facts.wrote(len(settled.done), settled.zxid)
        self._tally.wrote()
        now = time.time() * 1000
        guarded = ack.sent.guarded
        if not guarded:
            self._live.wrote(settled.done, settled.found(ack.answer))
            self._live.wrote(settled.theirs, itertools.repeat(False))
        for write in settled.done:
            self._pipeline.wrote(write)
            self._facts.unsyncable.discard(write.path)
            if write.mtime and not guarded:
                self._ctx.instruments.lag(max(0.0, (now - write.mtime) / 1000))
        for write, reason in settled.refused:
            self._live.refused(write.path)
            self._pipeline.release(write.path)
            self._facts.unsyncable.add(write.path, reason, self._ctx.log)
        for write in settled.theirs:
            self._pipeline.release(write.path)
        self._last.settled(settled)
        if guarded:
            self.repairs.applied(settled)
        trace_id = self.repairs.trace_id if guarded else self._ctx.trace_id
        phase: event_log.Phase = "repair" if guarded else "follow"
        event_log.tell(self._ctx, ack, settled.done, phase, trace_id, now / 1000)
        self._orphaned(settled.below)
        for pages in settled.further:
            self._look_below(pages)

    def _orphaned(self, keys: Sequence[bytes]) -> None:
        """Keys below a deleted node, or their marks, say what is dirty; not what is foreign,
        excluded, or others'."""
        for key in keys:
            path = self._ctx.ours.path(key)
            if path is not None and not self._ctx.mapping.is_excluded(path):
                self._dirty.mark(path)

    def _look_below_path(self, path: bytes) -> None:
        self._look_below(paging.Pages(*self._ctx.ours.below_path(path)))

    def _look_below(self, pages: paging.Pages) -> None:
        if pages.done:
            return
        page = wire.Range(pages.start, pages.stop, apply.BELOW_LIMIT, keys_only=True)
        txn = wire.Txn((), [page])
        put = self._inbox.put
        self._ctx.etcd.txn_soon(txn, lambda answer, error: put(_Below(pages, answer, error)))

    def _looked_below(self, below: _Below) -> None:
        if below.answer is None:
            raise below.error or errors.EtcdUnavailable("etcd did not answer a read")
        for page in below.answer.ranges():
            self._orphaned(page.keys)
            below.pages.saw(page.keys, page.total, more=page.more)
        self._look_below(below.pages)

    # --- what is done next -------------------------------------------------------------------

    def _doubt(self) -> None:
        if self._ctx.session.epoch != self._ctx.epoch:
            self._ctx.session.require(self._ctx.epoch)
        self._dirty.check()
        if self._ctx.grants.names(self._facts.guard) or self._ctx.grants.names(self._facts.kept):
            raise errors.Released("a person released the guard")
        if self._ctx.etcd.rollbacks != self.seat.rollbacks:
            raise errors.RolledBack("etcd went back to an earlier state (restored from a backup?)")
        if not self._ctx.dry_run:
            self._ctx.fence.compares()

    def _tick(self, now: float, due: Callable[[], str | None]) -> None:
        self._facts.pending = len(self._dirty) + len(self._pipeline.busy)
        self._pipeline.lost(now, self.repairs.waited(now))
        self._is_quiet = self.freshness.look(self._pipeline.busy)
        self._live.tick(now, self._applier.zxid)
        self._last.tick()
        self._tally.ask(now, self._inbox.put)
        if self._drift is not None:
            self._drift.tend(now)
        self.repairs.begin()
        keys = self._comparing.tend(self.seat.revision, due)
        if keys is not None:
            self._tally.restart(keys)
