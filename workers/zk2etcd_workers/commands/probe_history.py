"""Whether what answers `check` is the ensemble that was mirrored, and no earlier state of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from zk2etcd import errors, messages
from zk2etcd_workers.commands import both_sides, finding, probe_etcd, probe_zookeeper
from zk2etcd_workers.ownership import kept
from zk2etcd_workers.safety import identity

_SIDE = probe_zookeeper.SIDE


def history(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> Iterator[finding.Fact]:
    """Its latest zxid beside the checkpoints, then what each shard knows of it.

    :raises errors.Zk2EtcdError: a connection broke off, or what is kept cannot be read.
    """
    try:
        floor = probe_etcd.floor(both)
    except errors.EtcdDenied:
        return  # said already
    zxid = both.sync(shards[0].source.encode())
    if zxid < floor:
        yield _SIDE.fail(
            f"its latest zxid {zxid:#x} is behind {floor:#x}, which was mirrored already",
            "it was wiped, restored or replaced: nothing is mirrored from it; "
            "see that zookeeper.hosts is right",
        )
        return
    doubts = [doubt for shard in shards if (doubt := _doubt(both, shard)) is not None]
    yield from doubts
    if floor and not doubts:
        yield _SIDE.ok(f"its history goes on from what was mirrored, zxid {floor:#x}")


def _doubt(both: both_sides.Sides, shard: messages.Shard) -> finding.Fact | None:
    """What keeps a mirror from writing this shard."""
    ctx = dataclasses.replace(both.context(shard), dry_run=True)
    known = identity.Identity(ctx)
    known.load(kept.read(ctx.reads, ctx.keys, shard.id, new=True))
    reason = known.changed(lambda _path: False)
    if reason is None:
        return None
    return _SIDE.fail(
        f"{shard.id}: {reason}",
        "nothing of it is mirrored: see that zookeeper.hosts is right; if it is, start the mirror "
        f"and `zk2etcd release {shard.id}`",
    )
