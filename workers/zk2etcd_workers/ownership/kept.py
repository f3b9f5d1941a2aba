"""What etcd keeps of one shard, read at once when it has just been taken.

From then on only its owner writes these keys, so what was read stands until that one does. Asked
for one by one, they would be most of what a shard of a few nodes costs at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import reads, records


class Kept(NamedTuple):
    """Each is one key, or nothing; `marks` are some. `identities` are those of all shards, if that
    was asked for."""

    pause: Sequence[wire.Present]
    guard: Sequence[wire.Present]
    identity: Sequence[wire.Present]
    marks: Sequence[wire.Present]
    identities: reads.Found | None


def read(client: reads.Reads, keys: records.Keys, shard: str, *, new: bool) -> Kept:
    """:param new: it has mirrored nothing yet, so what others know of the ensemble is its concern.

    :raises errors.EtcdError: refused, or not answered.
    """
    marks = keys.marks(shard)
    single = [keys.pause(shard), keys.guard(shard), keys.identity(shard)]
    ranges = [*map(wire.Range, single), wire.Range(marks, marks[:-1] + b"0")]
    if new:
        ranges.append(wire.Range(*keys.all_of("identities")))
    pause, guard, identity, found, *others = client.all(ranges)
    return Kept(pause.kvs, guard.kvs, identity.kvs, found.kvs, others[0] if others else None)
