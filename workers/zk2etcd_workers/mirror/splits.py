"""What a shard takes over from an earlier split of the same prefix, when `buckets` was changed.

Its id is new, or from long ago, and so is what etcd keeps under it; the keys in its range are those
that the shards of the earlier split mirrored. Were that forgotten, another ensemble would not be
noticed, a pause would end by itself, and each delete between the two would wait for a person as at
a first sync. So a shard that has just been taken looks for a whole split that was active later than
it was itself, and takes over what those shards knew, in one Txn: what follows then is as if it had
mirrored all the time. What is in doubt there is in doubt here: a guard's record of one of them,
a trip or a walk that was cut off, makes this base a first one; and where one of them was held since
another ensemble answers, so is this one: what told it may be in none of its own keys.

A split that never was whole has mirrored nothing that this shard has not; but a person may have
paused one of its shards, and its guard may have tripped. So pauses and guards count of every shard
of the prefix, from wherever they are younger than all that is taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zk2etcd import messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import counting
from zk2etcd_workers.model import history
from zk2etcd_workers.ownership import checkpoints as all_checkpoints, records as own_keys
from zk2etcd_workers.safety import guard_record
from zk2etcd_workers.shard import context, ring

_MOST_BUCKETS = 256
_BESIDE = 8
"""Marks of what other shards of the new split see to. What was written last is lost first, and of
what this one wrote last there may be no mark: each Txn leaves a few of all its keys."""


class Split(NamedTuple):
    """The shards of one prefix with one number of buckets. `active`: the etcd revision at which one
    of them last wrote into its checkpoint."""

    ids: Sequence[str]
    active: int
    zxid: int


_Kept = Mapping[bytes, wire.Present]
_Ops = list[wire.Put | wire.Delete]


def adopt(
    ctx: context.Context, at_claim: all_checkpoints.Checkpoints
) -> all_checkpoints.Checkpoints:
    """Take over, if there is something; the shard has just been taken, so no other owner of any of
    its keys is alive.

    :param at_claim: all checkpoints, as they were then.
    :returns: the same, with what was taken over.
    :raises errors.Fenced: it is not ours any more.
    :raises errors.NewerFormat: what is kept cannot be read.
    """
    if ctx.dry_run:
        return at_claim
    keys, shard = ctx.keys, ctx.shard
    mine = [keys.checkpoint(shard.id), keys.identity(shard.id), keys.guard(shard.id)]
    related = at_claim.alike(mine[0])
    if not related:
        return at_claim
    checkpoints = at_claim.by_key
    kept = {**checkpoints, **_all(ctx, "identities"), **_all(ctx, "guards"), **_all(ctx, "pauses")}
    own = kept.get(mine[0])
    zxid = own_keys.decode_zxid(own.value) if own is not None else 0
    known = [key for key in mine if key in kept and (key != mine[0] or zxid)]
    active = max((kept[key].revision for key in known), default=0)
    former = _latest(ctx, checkpoints, len(related))
    if former is not None and former.active > active:
        ops = _of_split(ctx, former, kept, zxid)
        active = former.active
    else:
        former, ops = None, _again(ctx, kept, zxid)
    doubts = _doubts(ctx, kept, former, active)
    if former is None and not doubts:
        return at_claim
    held = _distrusted(ctx, doubts)
    ctx.fence.write([*ops, *_held_by(ctx, kept, doubts, held, whole=former is not None)])
    if former is not None:
        ctx.log.info("goes on from another split of the prefix", buckets=len(former.ids))
    else:
        ctx.log.info("what holds a shard of another split of the prefix holds this one")
    if held is not None and held.trip is not None:
        guard_record.tell_distrust(ctx, held.trip)
    return at_claim.with_(wire.Present(mine[0], *ctx.fence.mark))


def _doubts(
    ctx: context.Context, kept: _Kept, former: Split | None, active: int
) -> Sequence[wire.Present]:
    """The pauses and guards' records of other shards of the prefix: all of the split that is taken
    over, and those that are younger."""
    slug = all_checkpoints.slug(ctx.keys.guard(ctx.shard.id)).rpartition(b"/")[2]
    kinds = (ctx.keys.all_of("pauses")[0], ctx.keys.all_of("guards")[0])
    alike = {
        key.rpartition(b"/")[2].decode(): key
        for key in kept
        if key.startswith(kinds) and all_checkpoints.slug(key).rpartition(b"/")[2] == slug
    }
    for number in range(ctx.shard.buckets):  # those of this split start at the same time
        alike.pop(_id(ctx, number, ctx.shard.buckets), None)
    if not alike:
        return ()
    ids = former.ids if former else ()
    return [
        kept[key]
        for each in _ids(ctx)
        if each in alike
        for key in (ctx.keys.pause(each), ctx.keys.guard(each))
        if key in kept and (each in ids or kept[key].revision > active)
    ]


def _ids(ctx: context.Context) -> Iterator[str]:
    """All shards of all other splits that the prefix can have had."""
    for buckets in range(1, _MOST_BUCKETS + 1):
        for number in range(buckets if buckets != ctx.shard.buckets else 0):
            yield _id(ctx, number, buckets)


def _id(ctx: context.Context, number: int, buckets: int) -> str:
    return messages.shard_id(ctx.shard.source, ctx.shard.target, number, buckets)


def _distrusted(
    ctx: context.Context, doubts: Sequence[wire.Present]
) -> own_keys.GuardRecord | None:
    """That this shard is held too, if one of those is since another ensemble answers; by a trip of
    its own, since each is released by itself."""
    guards = [kv for kv in doubts if kv.key.startswith(ctx.keys.all_of("guards")[0])]
    found = [own_keys.GuardRecord.from_bytes(kv.value, kv.key) for kv in guards]
    held = [record for record in found if _is_identity(record)]
    trips = [record.trip for record in held if record.trip is not None]
    if not trips:
        return None
    latest = max(trips, key=lambda trip: trip.since)
    present, lowers = counting.keys(ctx), any(record.lowers for record in held)
    trip = own_keys.new_trip(latest.reason, 0, present, (), latest.since, latest.kind)
    return own_keys.GuardRecord(present, first=True, trip=trip, lowers=lowers)


def _is_identity(record: own_keys.GuardRecord) -> bool:
    return record.trip is not None and record.trip.kind == "identity"


def _held_by(
    ctx: context.Context,
    kept: _Kept,
    doubts: Sequence[wire.Present],
    distrusted: own_keys.GuardRecord | None,
    *,
    whole: bool,
) -> Iterator[wire.Put | wire.Delete]:
    """What is in doubt elsewhere is in doubt here. From a whole split all is taken over: what this
    shard had of its own, from long ago, goes. Else a trip of its own stays, unless it is about
    deletes and the other about the ensemble: what it saw was another tree."""
    guard, pause = ctx.keys.guard(ctx.shard.id), ctx.keys.pause(ctx.shard.id)
    pauses = [kv for kv in doubts if kv.key.startswith(ctx.keys.all_of("pauses")[0])]
    own = None
    if not whole and guard in kept:
        own = own_keys.GuardRecord.from_bytes(kept[guard].value, guard)
    if len(pauses) < len(doubts):
        if own is None or own.trip is None or (distrusted and not _is_identity(own)):
            record = distrusted or own_keys.GuardRecord(counting.keys(ctx), first=True)
            yield wire.Put(guard, record.to_bytes())
    elif whole:
        yield wire.Delete(guard)
    if pauses:
        yield wire.Put(pause, pauses[0].value)
    elif whole:
        yield wire.Delete(pause)


def _all(ctx: context.Context, kind: str) -> _Kept:
    return {kv.key: kv for kv in ctx.reads.range(*ctx.keys.all_of(kind)).kvs}


def _latest(ctx: context.Context, checkpoints: _Kept, most: int) -> Split | None:
    """The split that was active last, of those whose shards all wrote something once."""
    found = []
    for buckets in range(1, most + 1):
        ids = list(_written(ctx, checkpoints, buckets)) if buckets != ctx.shard.buckets else []
        if len(ids) == buckets:
            kvs = [checkpoints[ctx.keys.checkpoint(each)] for each in ids]
            zxids = [own_keys.decode_zxid(kv.value) for kv in kvs]
            found.append(Split(ids, max(kv.revision for kv in kvs), max(zxids)))
    return max(found, key=lambda split: split.active, default=None)


def _written(ctx: context.Context, checkpoints: _Kept, buckets: int) -> Iterator[str]:
    """The shards of a split, up to the first that never wrote anything."""
    for number in range(buckets):
        each = _id(ctx, number, buckets)
        kv = checkpoints.get(ctx.keys.checkpoint(each))
        if kv is None or not own_keys.decode_zxid(kv.value):
            return
        yield each


def _again(ctx: context.Context, kept: _Kept, zxid: int) -> _Ops:
    """What this shard knows itself, put once more: so that what is taken over beside it is not
    taken over again after a person has ended it."""
    keys, mine = ctx.keys, ctx.shard.id
    identity = kept.get(keys.identity(mine))
    record = identity.value if identity is not None else own_keys.IdentityRecord({}).to_bytes()
    checkpoint = own_keys.encode_zxid(zxid, ctx.fence.token if zxid else 0)
    return [wire.Put(keys.checkpoint(mine), checkpoint), wire.Put(keys.identity(mine), record)]


def _of_split(ctx: context.Context, former: Split, kept: _Kept, zxid: int) -> _Ops:
    """What a whole split knew. One of its shards may not have run since this one did, and know less
    of its part: so what this one knows itself counts as well."""
    keys, mine = ctx.keys, ctx.shard.id
    own = kept.get(keys.checkpoint(mine))
    theirs = [kept.get(keys.identity(each)) for each in former.ids]
    identity = _identity(ctx, theirs)
    known = dict(zip(former.ids, theirs, strict=True))
    if own is not None and own.revision <= identity.since:
        zxid = 0  # of an ensemble that they were released of
    else:
        known[mine] = kept.get(keys.identity(mine))
    checkpoint = own_keys.encode_zxid(max(zxid, former.zxid), ctx.fence.token)
    return [
        wire.Put(keys.checkpoint(mine), checkpoint),
        wire.Put(keys.identity(mine), identity.to_bytes()),
        *_marks(ctx, known),
    ]


def _marks(ctx: context.Context, known: Mapping[str, wire.Present | None]) -> Iterator[wire.Put]:
    """Those marks of these shards, with their identities, that count and are this shard's to see
    to, the latest first; and the latest few of the others."""
    found: list[history.Mark] = []
    for each, identity in known.items():
        if identity is not None:
            era = own_keys.IdentityRecord.from_bytes(identity.value, identity.key).era
            kvs = ring.read(ctx.reads, ctx.keys.marks(each))
            found += [mark for kv in kvs for mark in ring.of_era(kv, era)]
    found.sort(key=lambda mark: mark.zxid, reverse=True)
    ours = [mark for mark in found if ctx.mapping.owns(mark.path)]
    others = [mark for mark in found if not ctx.mapping.owns(mark.path)][:_BESIDE]
    yield from ring.taken_over(ctx.keys.marks(ctx.shard.id), ctx.fence.token, [*others, *ours])


def _identity(ctx: context.Context, kept: Sequence[wire.Present | None]) -> own_keys.IdentityRecord:
    """What they knew of the ensemble, as far as this shard sees to it. Where they disagree, one of
    them has not been released yet: it is the older, or the earlier, that counts."""
    births: dict[bytes, own_keys.Birth] = {}
    found = sorted((kv for kv in kept if kv is not None), key=lambda kv: kv.revision, reverse=True)
    records = [own_keys.IdentityRecord.from_bytes(kv.value, kv.key) for kv in found]
    for record in records:
        births.update(record.births)
    since = min(record.since for record in records) if len(records) == len(kept) else 0
    mapped = ctx.mapping
    ours = {p: b for p, b in births.items() if p == mapped.source or mapped.owns(p)}
    # Of marks, and of what stands for the ensemble, only what belongs to the births that count.
    kin = records[-1].ensemble if records else {}
    return own_keys.IdentityRecord(ours, since, kin, ctx.fence.token)
