"""One shard, from owning it to following it, and back to the start after any doubt.

The order matters (docs/architecture.md says why): own the shard, then read the floor, then a
session at or above it, the watch, a `sync`, the base, and only then the live changes. Any error
forgets the position and goes back to the beginning; what is already equal is not written again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
from collections.abc import Callable, Mapping

from zk2etcd import backoff, errors, messages
from zk2etcd.logs import logger
from zk2etcd_workers import turn
from zk2etcd_workers.mirror import base, follow, splits
from zk2etcd_workers.ownership import records
from zk2etcd_workers.safety import guard_record, pause_key
from zk2etcd_workers.safety import identity as identities
from zk2etcd_workers.shard import context, dirty_paths, inbox
from zk2etcd_workers.zookeeper import session as sessions

_DIRTY_LIMIT = 200_000
_CONNECT_WAIT = 3.0
_HELD_POLL = 0.5
_CONTENDED = 0.05
_STABLE = 5.0
_BEHIND = 15.0
_STAND_EVERY = 2.0
_SETTLE = 2.0
_DELAYS = backoff.Backoff(minimum=0.2, maximum=1.0)


class Mirror:
    """Mirrors one shard in a thread of its own, until it is stopped.

    :param reaped: asks for the highest dead incarnation of each slot (`messages.Assign`).
    :param once: stop after the base, and say so in the report.
    :param cause: the trace id of what made it start.
    """

    def __init__(
        self,
        ctx: context.Context,
        reaped: Callable[[], Mapping[str, int]],
        *,
        once: bool = False,
        written_by: str = "zk2etcd",
        cause: str = "",
    ) -> None:
        self._ctx = ctx
        self._cause = cause
        self._reaped = reaped
        self._once = once
        self._written_by = written_by
        self._inbox = inbox.Inbox()
        self._dirty = dirty_paths.Dirty(ctx.mapping, _DIRTY_LIMIT, self._wake)
        self._due = threading.Event()
        self._due_trace = ""
        self._bases = 0
        self._following_since = 0.0
        self._formatted = False
        self._behind_since: float | None = None
        self._follow: follow.Follow | None = None
        self._rng = random.Random()
        self.facts = context.Facts()
        self.context = ctx
        self.pausing = pause_key.Pausing(ctx, self.facts)
        self._thread = threading.Thread(target=self._run, name=ctx.shard.id, daemon=True)

    # --- what the worker asks ----------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let go, soon; `alive` turns False when that is done."""
        self._ctx.turn.stop()
        self._wake()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

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
            self._let_go()

    def _trace(self) -> None:
        """A start begins, which lasts, however often it fails, until the shard has followed. Its
        lines have an id of their own, and name that of what it comes of."""
        cause = {"cause": self._cause} if self._cause else {}
        self._ctx = self.context.traced(logger.new_trace(), **cause)
        self._cause = self._ctx.trace_id

    def _cycle(self) -> None:
        ctx, facts = self._ctx, self.facts
        self._inbox = inbox.Inbox()
        self._own()
        guard = guard_record.Guarding(ctx, facts)
        identity = identities.Identity(ctx)
        identity.load()
        checkpoints = records.read_checkpoints(ctx.etcd, ctx.keys, identity.since)
        floor = max(checkpoints.values(), default=0)
        if (trip := guard.standing()) is not None and trip.kind == "identity":
            # So that a release knows whether servers at or above the floor are back.
            ctx.session.open(floor)
            self._hold(guard, trip)
            return
        own = checkpoints.get(ctx.keys.checkpoint(ctx.shard.id), 0)
        facts.zxid = own
        if (reason := self._connect(floor)) is not None:
            self._hold(guard, guard.distrust(reason, base.count(ctx), lowers=True))
            return
        epoch = self._watch()
        # What answers is judged once, so whatever is read after that must be of this connection.
        ctx = dataclasses.replace(ctx, epoch=epoch)
        identity.bind(ctx)
        if (reason := identity.changed(self._dirty.was_deleted)) is not None:
            self._hold(guard, guard.distrust(reason, base.count(ctx)))
            return
        zxid = self._base(ctx, floor, identity, first=own == 0 or identity.is_hidden)
        self._following_since = time.monotonic()
        facts.phase, facts.error, facts.retry_at = "following", None, None
        if self._once:
            while True:
                ctx.turn.pause(1.0)
        self._follow = follow.Follow(ctx, facts, self._dirty, self._inbox, epoch, identity)
        self._follow.run(zxid, self._take_due)

    def _own(self) -> None:
        """Take the shard; while it is paused, do no more than that."""
        self._take()
        splits.adopt(self._ctx)
        if self.pausing.settle() is not None:
            self._rest()

    def _rest(self) -> None:
        """What was seen until now is forgotten: a base finds out what is so afterwards,
        and its deletes are the guard's case, since nobody looked meanwhile."""
        ctx = self._ctx
        ctx.session.unsubscribe(ctx.root, self._dirty.event)
        self._dirty.forget()
        self._due.clear()
        self._follow = None
        self.facts.guard = guard_record.Guarding(ctx, self.facts).standing()
        self.facts.keys = base.count(ctx)
        self.pausing.rest()

    def _take_due(self) -> str | None:
        """The trace id of a full sync that is due."""
        if not self._due.is_set():
            return None
        self._due.clear()
        return self._due_trace or logger.new_trace()

    def _take(self) -> None:
        """Take the shard, or a new token if it is ours already: after any doubt, writes that are
        still under way must not land after newer ones."""
        ctx, facts = self._ctx, self.facts
        if ctx.dry_run:
            records.require_reader(ctx.etcd, ctx.keys)
            return
        if not self._formatted:
            records.ensure_format(ctx.etcd, ctx.keys, self._written_by)
            self._formatted = True
        if ctx.fence.token:
            ctx.fence.renew_token()
            return
        facts.owned = False
        while True:
            ctx.turn.beat()
            try:
                ctx.fence.claim(self._reaped())
                break
            except errors.Held as held:
                self._wait_for(held)
            except errors.Fenced:
                # Some shard was taken between our look at the owners and our put: look again.
                ctx.turn.pause(self._rng.uniform(0.0, _CONTENDED))
        facts.owned, facts.holder = True, None
        ctx.log.info("shard owned", token=ctx.fence.token)

    def _hold(self, guard: guard_record.Guarding, trip: messages.Guard) -> None:
        """Write nothing until a person has released this trip; then start over."""
        ctx, facts = self._ctx, self.facts
        facts.guard, facts.phase, facts.full_sync_running = trip, "guarded", False
        facts.error = facts.retry_at = None
        asked = time.monotonic()
        while (release := ctx.grants.use(trip)) is None:
            ctx.turn.pause(_HELD_POLL)
            if self._take_due() is not None:
                facts.full_sync_running = False
            if time.monotonic() - asked > _STAND_EVERY and not ctx.dry_run:
                asked = time.monotonic()
                ctx.fence.stands()
        guard.trust(trip, release)
        facts.guard = None

    def _wait_for(self, held: errors.Held) -> None:
        if self.facts.holder != held.holder:
            self._ctx.log.info("shard is owned by another: waiting", holder=held.holder)
        self.pausing.drop()
        self.facts.phase, self.facts.holder, self.facts.pause = "waiting", held.holder, None
        self.facts.error = self.facts.retry_at = None
        self._ctx.turn.pause(_HELD_POLL)

    def _connect(self, floor: int) -> str | None:
        """A live session at or above the floor, and how to speak to its server; or why all
        that answers is another ensemble, which has been so for a while.

        :raises errors.ZooKeeperError: there is none yet.
        """
        session = self._ctx.session
        session.open(floor)
        deadline = time.monotonic() + min(_CONNECT_WAIT, self._ctx.config.zookeeper.connect_timeout)
        while not session.connected:
            if self._is_behind():
                return (
                    f"identity: every ZooKeeper host is behind what was mirrored: {session.trouble}"
                )
            if time.monotonic() > deadline:
                raise errors.ZooKeeperError(
                    f"no ZooKeeper session: {session.trouble or 'not connected'}"
                )
            self._ctx.turn.pause(0.01)
        session.negotiate()
        return None

    def _is_behind(self) -> bool:
        """Every host has been behind the floor for longer than a follower lags. They said so when
        asked for their zxid, which only a server does that serves, so that has a quorum."""
        if not self._ctx.session.all_behind:
            self._behind_since = None
            return False
        self._behind_since = self._behind_since or time.monotonic()
        return time.monotonic() - self._behind_since > _BEHIND

    def _watch(self) -> int:
        """From the reply on, dirty paths collect; what was marked before is covered by the base.
        The epoch in which that is so: a connection lost later, during the base too, ends it."""
        ctx = self._ctx
        ctx.session.subscribe(ctx.root, self._dirty.event, self._wake)
        self._dirty.restart()
        epoch = ctx.session.epoch
        for ask in (ctx.session.watch, ctx.session.sync):
            ask(ctx.root, self._inbox.put)
            self._answer(epoch)
        return epoch

    def _answer(self, epoch: int) -> None:
        deadline = time.monotonic() + self._ctx.config.zookeeper.request_timeout + 1
        while time.monotonic() < deadline:
            self._ctx.turn.beat()
            reply = self._inbox.get(turn.SLICE)
            if isinstance(reply, sessions.Reply):
                if reply.error is not None:
                    raise reply.error
                if reply.epoch != epoch or self._ctx.session.epoch != epoch:
                    raise errors.SessionDoubt("the ZooKeeper session changed")
                return
        raise errors.SessionDoubt("ZooKeeper did not answer a watch or a sync")

    def _base(
        self, ctx: context.Context, floor: int, identity: identities.Identity, *, first: bool
    ) -> int:
        """One base; the checkpoint's zxid after it."""
        facts = self.facts
        facts.phase, facts.full_sync_running = "full_sync", True
        facts.trace_id = ctx.trace_id
        facts.unsyncable.base_begins()
        started = time.monotonic()
        run = base.Base(ctx, facts, floor, self._dirty.mark, self._dirty.was_deleted)
        done = run.run(first=first)
        identity.settle(held=facts.guard is not None or ctx.config.sync.deletes == "never")
        facts.unsyncable.base_ended()
        took = time.monotonic() - started
        self._dirty.settle()
        facts.keys = done.keys
        if self._bases:
            ctx.instruments.fixed("put", done.put)
            ctx.instruments.fixed("delete", 0 if done.released else done.delete)
        self._bases += 1
        ctx.instruments.full_sync(took)
        facts.phase = "following"
        facts.completed(took, done.put, done.delete)
        ctx.log.info(
            "base done",
            keys=done.keys,
            put=done.put,
            delete=done.delete,
            seconds=round(took, 3),
        )
        return done.zxid

    # --- failures, and the end ---------------------------------------------------------------

    def _failed(self, error: errors.Zk2EtcdError) -> None:
        """Note it and wait. The first resync after a stable time is immediate and no error."""
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
        self._check_token(error)
        if isinstance(error, errors.NewerReader):
            # Until the worker is drained: nothing is written before the key was looked at again.
            self._formatted, facts.refusal = False, str(error)
        if error.reaction is errors.Reaction.RESYNC and facts.attempt == 1:
            ctx.log.info("starting over", reason=str(error))
            return
        if facts.error != str(error):
            facts.error_trace_id = ctx.trace_id
        ctx.log.warning("shard in error", error=str(error), attempt=facts.attempt)
        delay = _DELAYS.delay(facts.attempt, self._rng)
        facts.phase, facts.error, facts.retry_at = "error", str(error), time.time() + delay
        with contextlib.suppress(turn.Interrupted):  # it starts over now
            ctx.turn.pause(delay)

    def _check_token(self, error: errors.Zk2EtcdError) -> None:
        """A token that failed its compare is worth nothing: claim again from the beginning."""
        if isinstance(error, errors.Fenced):
            self._ctx.fence.token = 0
            self.facts.owned = False

    def _let_go(self) -> None:
        """Settle or abandon the writes under way, then free the shard for the next owner."""
        ctx = self._ctx
        ctx.session.unsubscribe(ctx.root, self._dirty.event)
        try:
            if self._follow is not None:
                self._follow.settle(_SETTLE)
        except errors.Zk2EtcdError as error:
            ctx.log.info("writes under way were abandoned", reason=str(error))
        try:
            ctx.fence.release()
        except errors.Zk2EtcdError as error:
            ctx.log.warning("owner key not deleted; its lease ends by itself", error=str(error))
        self.facts.owned = False
