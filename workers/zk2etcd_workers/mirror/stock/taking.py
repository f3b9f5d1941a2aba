"""Taking stock of one shard, before each time that it follows, over all its attempts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from zk2etcd import errors
from zk2etcd_workers.mirror import base, follow
from zk2etcd_workers.mirror.stock import clean, naming, resume
from zk2etcd_workers.ownership import kept
from zk2etcd_workers.safety import identity as identities
from zk2etcd_workers.shard import context, dirty_paths, facts as shard_facts
from zk2etcd_workers.walk import glance


class Stock:
    """Used by the shard's thread only."""

    def __init__(
        self,
        facts: shard_facts.Facts,
        dirty: dirty_paths.Dirty,
        steps_aside: Callable[[], None],
        *,
        once: bool,
    ) -> None:
        """:param steps_aside: called when it turns out that this takes long.
        :param once: there is to be one base, and no more.
        """
        self._facts = facts
        self._dirty = dirty
        self._steps_aside = steps_aside
        self._once = once
        self._bases = 0
        self._known = clean.NOTHING
        self._names: naming.Names | None = None
        self._followed = False

    def forget(self) -> None:
        """Nobody knows any more up to where etcd is equal."""
        self._known, self._names = clean.NOTHING, None

    def failed(self, error: errors.Zk2EtcdError, following: follow.Follow | None) -> None:
        """An attempt has ended; in `following`, if it came so far."""
        self._names, self._followed = None, following is not None
        if not clean.is_outlived(error):
            self.forget()
        elif following is not None:
            seat = following.seat
            self._known = clean.Known(following.freshness.clean, seat.rollbacks, seat.ctx.epoch)

    def read_ahead(self, ctx: context.Context) -> bool:
        """There is no connection yet: read some of what is to be named over it. Whether there was
        something to do. If no connection comes about, later attempts leave etcd alone.

        :raises errors.EtcdError: etcd did not answer.
        """
        if self._followed and clean.unfit(self._known, ctx, self._facts) is None:
            self._names = naming.Names(ctx)
        self._followed = False
        return self._names is not None and self._names.read_ahead()

    def take(
        self,
        ctx: context.Context,
        floor: int,
        identity: identities.Identity,
        known: kept.Kept,
        *,
        first: bool,
        certain: bool,
    ) -> tuple[context.Context, int]:
        """The context to follow with, and the checkpoint's zxid.

        :param known: what etcd keeps of it, as it was when it was taken.
        :param first: there was no checkpoint.
        :param certain: see `clean.refused`.
        :raises errors.Zk2EtcdError: the shard must start over.
        """
        facts, seen = self._facts, identity.seen()
        facts.walks(ctx.trace_id)
        if not (first or self._once):
            why = clean.refused(self._known, ctx, facts, certain=certain)
            if why is None and (resumed := self._resume(ctx)) is not None:
                ctx.fence.pay()
                return resumed, facts.zxid
            ctx.log.debug("a base is needed", reason=why)
        self._names = None
        zxid = self._base(ctx, floor, identity, known, seen, first=first)
        self.forget()
        return ctx, zxid

    def _resume(self, ctx: context.Context) -> context.Context | None:
        """None: a base is to look at it all."""
        facts, since, names = self._facts, self._known.zxid, self._names
        self.forget()  # Whatever comes of it, it is not asked again.
        if names is None or names.most != ctx.session.request_size.most:
            names = naming.Names(ctx)
        started = time.monotonic()
        self._steps_aside()
        answer = resume.ask(ctx, self._dirty, since, names)
        if (why := clean.distrusted(ctx, answer)) is not None:
            ctx.log.info("not resumed: a base looks at everything", reason=why)
            self._dirty.restart()
            return None
        self._dirty.settle()
        facts.keys, facts.counted = answer.keys, None
        facts.full_sync_running = False
        ctx.log.info(
            "resumed",
            since=f"{since:#x}",
            keys=answer.keys,
            changed=len(self._dirty),
            gone=len(answer.gone),
            seconds=round(time.monotonic() - started, 3),
        )
        return dataclasses.replace(ctx, since=since, resumed=True)

    def _base(
        self,
        ctx: context.Context,
        floor: int,
        identity: identities.Identity,
        known: kept.Kept,
        seen: glance.Seen,
        *,
        first: bool,
    ) -> int:
        """One base; the checkpoint's zxid after it."""
        facts = self._facts
        facts.unsyncable.base_begins()
        started = time.monotonic()
        hears = (self._dirty.mark, self._dirty.was_deleted)
        run = base.Base(ctx, facts, floor, *hears, known, self._steps_aside, seen)
        done = run.run(first=first)
        identity.settle(held=facts.guard is not None or ctx.config.sync.deletes == "never")
        ctx.fence.pay()
        facts.ensemble = identity.told
        facts.unsyncable.base_ended()
        took = time.monotonic() - started
        self._dirty.settle()
        facts.keys, facts.counted = max(0, done.keys - len(facts.conflicts)), done.counted
        if self._bases:
            ctx.instruments.fixed("put", done.put)
            ctx.instruments.fixed("delete", 0 if done.released else done.delete)
        self._bases += 1
        ctx.instruments.full_sync(took)
        facts.completed(took, done.put, done.delete)
        ctx.log.info(
            "base done",
            keys=done.keys,
            put=done.put,
            delete=done.delete,
            seconds=round(took, 3),
        )
        return done.zxid
