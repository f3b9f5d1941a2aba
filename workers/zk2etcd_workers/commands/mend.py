"""The work behind `diff --fix` for a shard that nobody owns: own it, run one base, let go.

It is the engine's own base, under the same fence, floor and guard as a mirror's, so a repair can do
nothing that a mirror would not. A shard that somebody owns is theirs to repair (`errors.Held`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections.abc import Callable, Iterator

from zk2etcd import conditions, errors, messages
from zk2etcd.config import models
from zk2etcd_workers.commands import both_sides
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import base, counting, splits
from zk2etcd_workers.ownership import formats, kept as own
from zk2etcd_workers.safety import guard_record, identity, pause_key
from zk2etcd_workers.shard import context, facts as shard_facts

WRITTEN_BY = "zk2etcd diff"
_TOLD = 0.2


@dataclasses.dataclass(frozen=True)
class Mended:
    """What was written. `held`: the guard keeps this many deletes back. `refused` are paths that
    etcd does not take, with the reason."""

    put: int
    delete: int
    held: conditions.Guard | None
    refused: tuple[conditions.Unsyncable, ...]


def mend(
    both: both_sides.Sides,
    shard: messages.Shard,
    released: int | None = None,
    told: Callable[[int, int], None] = lambda _done, _total: None,
) -> Mended:
    """Repair one shard once.

    :param released: a person allowed this many deletes, whatever the guard says; more stay held.
    :param told: called now and then, from another thread, with the nodes compared so far, and how
        many there are, 0 while unknown.
    :raises errors.Held: somebody owns it; its `admin_url` is where to ask.
    :raises errors.Paused: a person paused it.
    :raises errors.Zk2EtcdError: it was not finished; what was written is right all the same.
    """
    ctx = both.context(shard, released)
    ctx = dataclasses.replace(ctx, config=_with_room(ctx.config, (released or 0) * shard.buckets))
    facts = shard_facts.Facts()
    formats.ensure_format(ctx.etcd, ctx.keys, WRITTEN_BY)
    owned = ctx.fence.claim({})
    try:
        owned = splits.adopt(ctx, owned)
        if ctx.marks is not None:
            ctx.fence.owe([wire.Put(ctx.marks.base, b"")])
        kept = own.read(ctx.reads, ctx.keys, shard.id, new=True)
        if (pause := pause_key.standing(kept)) is not None:
            raise errors.Paused(shard.id, pause.by, pause.since)
        known = identity.Identity(ctx)
        known.load(kept)
        checkpoints, floor = owned.since(known.since)
        both.reach_zookeeper(floor)
        ctx = dataclasses.replace(ctx, epoch=ctx.session.epoch)
        both.sync(ctx.root)
        if (doubt := _distrusted(ctx, facts, kept)) is not None:
            return Mended(0, 0, doubt, ())
        mirrored = checkpoints.get(ctx.keys.checkpoint(shard.id), 0)
        with _watched(facts, told):
            done = base.Base(ctx, facts, floor, _turned_up, _was_deleted).run(first=mirrored == 0)
    finally:
        _release(ctx)
    return Mended(done.put, done.delete, facts.guard, facts.report(shard.id, None).unsyncable)


@contextlib.contextmanager
def _watched(facts: shard_facts.Facts, told: Callable[[int, int], None]) -> Iterator[None]:
    """The base that runs meanwhile is told of."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_TOLD):
            if (running := facts.course) is not None:
                running.look(time.monotonic(), "", both_sides.Silent())
                told(*running.progress)

    looking = threading.Thread(target=look, name="progress", daemon=True)
    looking.start()
    try:
        yield
    finally:
        over.set()
        looking.join()


def _distrusted(
    ctx: context.Context, facts: shard_facts.Facts, kept: own.Kept
) -> conditions.Guard | None:
    """The trip that stands, or stands from now on, since another ensemble answers."""
    guard = guard_record.Guarding(ctx, facts, kept)
    trip = guard.standing()
    if trip is not None and trip.kind == "identity":
        return trip
    known = identity.Identity(ctx)
    known.load(kept)
    reason = known.changed(_was_deleted)
    return None if reason is None else guard.distrust(reason, counting.keys(ctx))


def _turned_up(_path: bytes) -> None:
    """Nothing: the comparison that follows finds it."""


def _was_deleted(_path: bytes) -> bool:
    """Nobody watched, so no delete was seen: all are the guard's case."""
    return False


def _with_room(settings: models.Config, released: int) -> models.Config:
    """The base remembers as many absent paths as the guard lets pass; here, those released too.

    :param released: for the whole prefix, of which a bucket takes its part.
    """
    guard = settings.sync.delete_guard
    if released <= guard.max_deletes:
        return settings
    roomy = guard.model_copy(update={"max_deletes": released})
    sync = settings.sync.model_copy(update={"delete_guard": roomy})
    return settings.model_copy(update={"sync": sync})


def _release(ctx: context.Context) -> None:
    """Our token is worth nothing from here on, also to writes that are still under way. If etcd
    does not answer, the lease is revoked when the connection is closed, or it ends by itself."""
    try:
        ctx.fence.release()
    except errors.EtcdError as error:
        ctx.log.debug("owner key not deleted", error=str(error))
