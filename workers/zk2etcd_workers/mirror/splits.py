"""What a shard takes over from an earlier split of the same prefix, when `buckets` was changed.

Its id is new, or from long ago, and so is what etcd keeps under it; the keys in its range are those
that the shards of the earlier split mirrored. Were that forgotten, another ensemble would not be
noticed, a pause would end by itself, and each delete between the two would wait for a person as at
a first sync. So a shard that has just been taken looks for a whole split that was active later than
it was itself, and takes over what those shards knew, in one Txn: what follows then is as if it had
mirrored all the time. What is in doubt there is in doubt here: a guard's record of one of them,
a trip or a walk that was cut off, makes this base a first one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from zk2etcd import messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import base
from zk2etcd_workers.ownership import records as own_keys
from zk2etcd_workers.shard import context


class Split(NamedTuple):
    """The shards of one prefix with one number of buckets. `active`: the etcd revision at which one
    of them last wrote into its checkpoint."""

    ids: Sequence[str]
    active: int
    zxid: int


_Kept = Mapping[bytes, wire.Present]


def adopt(ctx: context.Context, at_claim: Sequence[wire.Present]) -> Sequence[wire.Present]:
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
    checkpoints = {kv.key: kv for kv in at_claim}
    mine = [keys.checkpoint(shard.id), keys.identity(shard.id), keys.guard(shard.id)]
    related = [key for key in checkpoints if _slug(key) == _slug(mine[0]) and key != mine[0]]
    former = _latest(ctx, checkpoints, len(related)) if related else None
    if former is None:
        return at_claim
    kept = {**checkpoints, **_all(ctx, "identities"), **_all(ctx, "guards"), **_all(ctx, "pauses")}
    own = kept.get(mine[0])
    zxid = own_keys.decode_zxid(own.value) if own is not None else 0
    known = [key for key in mine if key in kept and (key != mine[0] or zxid)]
    if former.active <= max((kept[key].revision for key in known), default=0):
        return at_claim
    identity = _identity(ctx, [kept.get(keys.identity(each)) for each in former.ids])
    if own is not None and own.revision <= identity.since:
        zxid = 0  # of an ensemble that they were released of
    ops = _taken_over(ctx, former, kept, identity, max(zxid, former.zxid))
    ctx.fence.write(ops)
    ctx.log.info("goes on from another split of the prefix", buckets=len(former.ids))
    return [*({**checkpoints, mine[0]: wire.Present(mine[0], *ctx.fence.mark)}).values()]


def _all(ctx: context.Context, kind: str) -> _Kept:
    return {kv.key: kv for kv in ctx.etcd.range(*ctx.keys.all_of(kind)).kvs}


def _slug(key: bytes) -> bytes:
    return key.rpartition(b"-")[0]


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
        each = messages.shard_id(ctx.shard.source, ctx.shard.target, number, buckets)
        kv = checkpoints.get(ctx.keys.checkpoint(each))
        if kv is None or not own_keys.decode_zxid(kv.value):
            return
        yield each


def _taken_over(
    ctx: context.Context, former: Split, kept: _Kept, identity: own_keys.IdentityRecord, zxid: int
) -> list[wire.Put | wire.Delete]:
    keys, mine = ctx.keys, ctx.shard.id
    checkpoint = own_keys.encode_zxid(zxid, ctx.fence.token)
    ops: list[wire.Put | wire.Delete] = [
        wire.Put(keys.checkpoint(mine), checkpoint),
        wire.Put(keys.identity(mine), identity.to_bytes()),
        wire.Delete(keys.guard(mine)),
        wire.Delete(keys.pause(mine)),
    ]
    if any(keys.guard(each) in kept for each in former.ids):
        record = own_keys.GuardRecord(base.count(ctx), first=True)
        ops[2] = wire.Put(keys.guard(mine), record.to_bytes())
    pauses = [kept[key] for each in former.ids if (key := keys.pause(each)) in kept]
    if pauses:
        ops[3] = wire.Put(keys.pause(mine), pauses[0].value)
    return ops


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
    return own_keys.IdentityRecord(ours, since)
