"""What etcd keeps of one shard, read at once when it has just been taken.

From then on only its owner writes these keys, so what was read stands until that one does. Asked
for one by one, they would be most of what a shard of a few nodes costs at its start: they are read
in the very Txn that takes it (`claims`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd import messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import reads, records


class Kept(NamedTuple):
    """Each is one key, or nothing; `marks` are some. `identities` are those of all shards, if that
    was asked for; `total` is how many keys its range holds, if that was."""

    pause: Sequence[wire.Present]
    guard: Sequence[wire.Present]
    identity: Sequence[wire.Present]
    marks: Sequence[wire.Present]
    identities: reads.Found | None
    total: int | None = None


def ranges(keys: records.Keys, shard: str) -> Sequence[wire.Range]:
    """What is read of one shard: a `Kept`'s first four fields, in their order."""
    marks = keys.marks(shard)
    single = [keys.pause(shard), keys.guard(shard), keys.identity(shard)]
    return [*map(wire.Range, single), wire.Range(marks, marks[:-1] + b"0")]


def asked(keys: records.Keys, shard: messages.Shard) -> Sequence[wire.Range]:
    """The same, and what counts the keys in its range, where that is as simple as this."""
    of, mapped = ranges(keys, shard.id), mapping.Mapping.of(shard, keys.owned(shard))
    if mapped.narrows:
        return of
    below = wire.Range(*mapped.below(), count_only=True)
    own = wire.Range(mapped.target, count_only=True)
    return [*of, below] if below.key == own.key else [*of, below, own]


def read(client: reads.Reads, keys: records.Keys, shard: str, *, new: bool) -> Kept:
    """:param new: it has mirrored nothing yet, so what others know of the ensemble is its concern.

    :raises errors.EtcdError: refused, or not answered.
    """
    wanted = list(ranges(keys, shard))
    if new:
        wanted.append(wire.Range(*keys.all_of("identities")))
    pause, guard, identity, found, *others = client.all(wanted)
    return Kept(pause.kvs, guard.kvs, identity.kvs, found.kvs, others[0] if others else None)
