"""Mirrors by marks, as an outsider sees them: which keys have a mark, and of whom."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from tests.integration import mirroring, observing
from zk2etcd import messages

SECOND = dataclasses.replace(mirroring.FIRST, instance="second")


def marked(source: str, target: str, **fields: object) -> messages.Shard:
    """A shard with the id that its configuration would give it."""
    shard = mirroring.shard(source, target)
    known = {"id": messages.shard_id(source, target), "ownership": "marks", **fields}
    return dataclasses.replace(shard, **known)  # type: ignore[arg-type]


def split(source: str, target: str, buckets: int, **fields: object) -> list[messages.Shard]:
    """All buckets of a prefix."""
    return [
        marked(
            source,
            target,
            id=messages.shard_id(source, target, bucket, buckets),
            bucket=bucket,
            buckets=buckets,
            **fields,
        )
        for bucket in range(buckets)
    ]


def base(world: mirroring.World, shard: messages.Shard) -> str:
    """What the names of its marks begin with."""
    return f"{world.state}/owned/{messages.shard_id(shard.source, shard.target)}"


def marks(world: mirroring.World, shard: messages.Shard) -> set[str]:
    """Keys that have a mark."""
    start = base(world, shard)
    return {key.decode()[len(start) :] for key in world.etcd.values(start) if key != start.encode()}


def grown(world: mirroring.World, names: Sequence[str], value: bytes = b"ours") -> None:
    """These nodes, below the root, which is there too from then on."""
    world.zk.ensure_path(world.root)
    observing.seed(world.zk, [(world.path(name), value) for name in names])


def reports(worker: mirroring.Worker) -> list[messages.ShardReport]:
    """The latest of each of its shards."""
    found = [worker.shard(number) for number in range(len(worker.shards))]
    return [report for report in found if report is not None]
