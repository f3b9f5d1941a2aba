"""One shard, from owning it to following it, and back to the start after any doubt.

The order matters (docs/architecture.md says why): own the shard, then read the floor, then a
session at or above it, the watch, a `sync`, the base, and only then the live changes. Any error
forgets the position and goes back to the beginning; what is already equal is not written again.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Callable, Mapping

from zk2etcd import backoff, conditions, errors, messages
from zk2etcd.logs import logger
from zk2etcd_workers import heap, turn
from zk2etcd_workers.drift import watcher
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import (
    admission,
    connecting,
    counting,
    follow,
    inbox,
    owning,
    splits,
)
from zk2etcd_workers.mirror.mending import drift
from zk2etcd_workers.mirror.stock import taking
from zk2etcd_workers.model import news
from zk2etcd_workers.ownership import checkpoints as all_checkpoints, kept
from zk2etcd_workers.rounds import rounds as all_rounds
from zk2etcd_workers.safety import guard_record, identity as identities, pause_key
from zk2etcd_workers.shard import context, dirty_paths, facts as shard_facts

_STABLE = 5.0
_SETTLE = 2.0
_DELAYS = backoff.Backoff(minimum=0.2, maximum=1.0)
_SLOW = backoff.Backoff(minimum=1.0, maximum=10.0)
"""After what only a person can mend."""


class Mirror:
    """Mirrors one shard in a thread of its own, until it is stopped.

    :param rounds: what is asked for all shards of these connections.
    :param starts: whose turn it is to start.
    :param reaped: asks for the highest dead incarnation of each slot (`messages.Assign`).
    :param once: stop after the base, and say so in the report.
    :param cause: the trace id of what made it start.
    :param inherited: what a worker that had the shard before knew of it.
    :param strangers: hears what others write into its range, if that is wanted.
    """

    def __init__(
        self,
        ctx: context.Context,
        reaped: Callable[[], Mapping[str, int]],
        rounds: all_rounds.Rounds,
        starts: admission.Admission,
        *,
        once: bool = False,
        cause: str = "",
        inherited: messages.Inherited | None = None,
        strangers: watcher.Watcher | None = None,
    ) -> None:
        self._ctx = ctx
        self._rounds = rounds
        self._admission = starts
        self._cause = cause
        self._once = once
        self._strangers = None if once or ctx.dry_run else strangers
        self._inbox = inbox.Inbox()
        self._dirty = dirty_paths.Dirty(ctx.mapping, dirty_paths.MOST, self._wake)
        self._due = threading.Event()
        self._due_trace = ""
        self._following_since = 0.0
        self._follow: follow.Follow | None = None
        self._rng = random.Random()
        self.begun = self.ended = False
        """It lets go of nothing any more; soon it is not `alive`."""
        self.failures = 0
        """How many attempts have ended in an error, since the start."""
        self.facts = shard_facts.Facts(ctx.conflicts)
        self._stock = taking.Stock(self.facts, self._dirty, self._steps_aside, once=once)
        if inherited is not None:
            self.facts.inherit(inherited)
            ctx.fence.inherit(inherited.mark)
        self.context = ctx
        self.pausing = pause_key.Pausing(ctx, self.facts)
        self._owning = owning.Owning(self.facts, self.pausing, reaped, self._steps_aside)
        self._connecting = connecting.Connecting()
        self._thread = threading.Thread(target=self._run, name=ctx.shard.id, daemon=True)

    # --- what the worker asks ----------------------------------------------------------------

    def start(self) -> None:
        self.begun = True
        self._thread.start()

    def stop(self) -> None:
        """Let go, soon; `alive` turns False when that is done."""
        self._ctx.turn.stop()
        self._wake()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def state(self, shard: str) -> news.State:
        """By which a report knows whether there is something to tell."""
        return news.State(shard, self.context.turn.rests, self.facts.synced_at)

    def report(self, shard: str, protocol: str | None, why: str, room: int) -> messages.ShardReport:
        """What there is to tell of it, see `Facts.report`."""
        fence = self.context.fence
        return self.facts.report(shard, protocol, why, room, fence.known, fence.token)

    def look(self, now: float) -> None:
        """See how far a base or full sync is, if one runs; `now` is monotonic."""
        facts = self.facts
        if (running := facts.course) is not None:
            running.look(now, facts.trace_id, self.context.log)

    def full_sync(self, trace_id: str = "") -> None:
        """A full sync is due; it starts as soon as the shard follows."""
        self._due_trace = trace_id
        self.facts.full_sync_running = True
        self._due.set()
        self._wake()

    def pause(self, order: messages.Pause | messages.Resume) -> None:
        """A person wants it paused, or resumed; see `pause_key.Pausing.ask`."""
        self.pausing.ask(order)
        self._wake()

    def release(self, order: messages.Release) -> None:
        """A person lets the deletes of one trip happen; a base does them, as soon as may be."""
        self._ctx.grants.give(order)
        self._wake()

    def _wake(self) -> None:
        self._inbox.wake()

    # --- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        self._ctx.turn.adopt()
        self._trace()
        try:
            while True:
                try:
                    self._cycle()
                except errors.Zk2EtcdError as error:
                    self._failed(error)
                except turn.Interrupted:
                    self._trace()
                    self._stock.forget()
                    self._following_since = 0.0
                    self._ctx.log.info("starting over", reason="a person paused or resumed it")
                except (turn.Stopped, SystemExit):
                    raise
                except Exception as error:
                    self._ctx.log.exception("bug in the mirror: starting over")
                    self._failed(errors.Zk2EtcdError(f"bug: {type(error).__name__}: {error}"))
        except turn.Stopped:
            pass
        finally:
            try:
                self._let_go()
            finally:
                self.ended = True

    def _trace(self) -> None:
        """A start begins, which lasts, however often it fails, until the shard has followed. Its
        lines have an id of their own, and name that of what it comes of."""
        cause = {"cause": self._cause} if self._cause else {}
        self._ctx = self.context.traced(logger.new_trace(), **cause)
        self._cause = self._ctx.trace_id

    def _cycle(self) -> None:
        self._inbox, self._follow = inbox.Inbox(), None
        owned, known = self._own()
        if self._ctx.marks is not None:
            self._ctx.marks.clear()  # Of an etcd that was put back, perhaps: a base learns it anew.
            if not self._ctx.dry_run:
                # What refuses `range` from now on, also where nothing is to be written.
                self._ctx.fence.owe([wire.Put(self._ctx.marks.base, b"")])
        asks = drift.asks(self._ctx, self.facts, self._wake, self.full_sync)
        with drift.heard(self._ctx, self.facts, self._strangers, asks) as ctx:
            held = self._follows(ctx, owned, known)
        if held is not None:
            self._hold(self._ctx, *held)

    def _follows(
        self, ctx: context.Context, owned: all_checkpoints.Checkpoints, known: kept.Kept
    ) -> tuple[guard_record.Guarding, conditions.Guard] | None:
        """From the moment at which it is owned, until something is in doubt, or it is held."""
        facts = self.facts
        self._admission.enter(self, ctx.turn)
        guard = guard_record.Guarding(ctx, facts, known)
        identity = identities.Identity(ctx)
        identity.load(known)
        facts.ensemble = identity.told
        checkpoints, floor = owned.since(identity.since)
        if (trip := guard.standing()) is not None and trip.kind == "identity":
            # So that a release knows whether servers at or above the floor are back.
            ctx.session.open(floor, ctx.shard.id, identity.since, asks=False)
            return guard, trip
        facts.zxid = own = checkpoints.get(ctx.keys.checkpoint(ctx.shard.id), 0)
        wanted = floor, identity.since
        reason, behind = self._connecting.session(ctx, *wanted, self._stock.read_ahead), True
        if reason is None:
            (ctx, seen), behind = connecting.watch(ctx, self._dirty, self._wake), False
            identity.bind(ctx, seen)
            reason = identity.changed(self._dirty.was_deleted)
        if reason is not None:
            return guard, guard.distrust(reason, counting.keys(ctx), lowers=behind)
        first, certain = own == 0 or identity.is_hidden, trip is None and identity.is_known
        identity.settle(held=True)
        ctx, zxid = self._stock.take(ctx, floor, identity, known, first=first, certain=certain)
        if ctx.resumed:
            # What was not told of would be found by nobody else, see docs/decisions/0099.
            self.full_sync(self._due_trace if self._due.is_set() else "")
        self._following_since = time.monotonic()
        facts.follows()
        self._steps_aside()
        while self._once:
            facts.changed()
            ctx.turn.pause(1.0)
        self._follow = follow.Follow(ctx, facts, self._dirty, self._inbox, identity, self._rounds)
        self._follow.run(zxid, self._take_due)
        return None

    def _hold(
        self, ctx: context.Context, guard: guard_record.Guarding, trip: conditions.Guard
    ) -> None:
        """Another ensemble answers, or did: nothing is written until a release."""
        self._stock.forget()
        ctx.waiting.forget()
        self._owning.hold(ctx, guard, trip, self._take_due)

    def _own(self) -> tuple[all_checkpoints.Checkpoints, kept.Kept]:
        """Take the shard; while it is paused, do no more than that. All checkpoints, as they were
        when it was taken, with what it took over; and what else is kept of it."""
        ctx = self._ctx
        at_claim = self._owning.take(ctx)
        checkpoints, known = splits.adopt(ctx, at_claim), ctx.fence.kept
        if known is None or checkpoints is not at_claim:
            new = not checkpoints.zxid(ctx.keys.checkpoint(ctx.shard.id))
            known = kept.read(ctx.reads, ctx.keys, ctx.shard.id, new=new)
        if self.pausing.settle(known) is not None:
            self._steps_aside()
            self._rest()
        return checkpoints, known

    def _steps_aside(self) -> None:
        """What follows is no work: it may take long, and others need not wait for it."""
        self._admission.leave(self)

    def _rest(self) -> None:
        """What was seen until now is forgotten: a base finds out what is so afterwards,
        and its deletes are the guard's case, since nobody looked meanwhile."""
        ctx = self._ctx
        ctx.session.unsubscribe(ctx.root, self._dirty.event)
        ctx.session.idle(ctx.shard.id)
        self._dirty.forget()
        ctx.waiting.forget()
        self._stock.forget()
        self._due.clear()
        self._follow = None
        self.facts.guard = guard_record.Guarding(ctx, self.facts).standing()
        self.facts.keys = counting.keys(ctx)
        self.pausing.rest()

    def _take_due(self) -> str | None:
        """The trace id of a full sync that is due."""
        if not self._due.is_set():
            return None
        self._due.clear()
        return self._due_trace or logger.new_trace()

    # --- failures, and the end ---------------------------------------------------------------

    def _failed(self, error: errors.Zk2EtcdError) -> None:
        """Note it and wait. The first resync after a stable time is immediate and no error."""
        heap.forget(error)
        self._steps_aside()
        self.failures += 1
        self._stock.failed(error, self._follow)
        ctx, facts = self._ctx, self.facts
        if self._following_since:
            if time.monotonic() - self._following_since > _STABLE:
                facts.attempt = 0
            self._trace()
        self._following_since = 0.0
        if isinstance(error, errors.Released):
            ctx.log.info("starting over", reason=str(error))
            return
        facts.attempt += 1
        facts.full_sync_running = self._due.is_set()
        self._owning.doubt(ctx, error)
        if error.reaction is errors.Reaction.RESYNC and facts.attempt == 1:
            # Its first attempt is no error; but that a server was put back should be known.
            say = ctx.log.warning if isinstance(error, errors.PutBack) else ctx.log.info
            say("starting over", reason=str(error))
            facts.starts_over(str(error), ctx.trace_id)
            return
        ctx.log.warning("shard in error", error=str(error), attempt=facts.attempt)
        delays = _SLOW if isinstance(error, errors.ZooKeeperDenied) else _DELAYS
        delay = delays.delay(facts.attempt, self._rng)
        if isinstance(error, errors.ListingRests):
            delay = max(delay, error.rest)
        facts.fails(str(error), time.time() + delay, ctx.trace_id)
        with contextlib.suppress(turn.Interrupted):  # it starts over now
            ctx.turn.pause(delay)

    def _let_go(self) -> None:
        """Settle or abandon the writes under way, then free the shard for the next owner."""
        ctx = self._ctx
        self._steps_aside()
        ctx.session.unsubscribe(ctx.root, self._dirty.event)
        try:
            if self._follow is not None:
                self._follow.settle(_SETTLE)
        except errors.Zk2EtcdError as error:
            ctx.log.info("writes under way were abandoned", reason=str(error))
        self._owning.release(ctx)
