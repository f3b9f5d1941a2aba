"""What etcd has of a shard of a few small nodes, read together with that of others: in pages of its
own each would cost as many requests as one of a thousand nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import reads

_KEYS, _BYTES = 24, 16 * 1024

Columns = tuple[Sequence[bytes], Sequence[bytes]]


class Few:
    """Of one shard, whose keys have just been counted, and which are all that is in its range."""

    def __init__(self, client: reads.Reads, shard: mapping.Mapping, total: int) -> None:
        self._client = client
        self._shard = shard
        self._total = total

    def beside(self, nodes: int, size: int) -> Iterable[Columns] | None:
        """All its keys and their values, in their order; None if they may be more, or larger, than
        what many shards may ask for at once.

        :param nodes: how many there are in ZooKeeper, of how many bytes (`size`), which tells how
            large the same keys will be.
        :raises errors.EtcdError: they were not read.
        """
        if not self._total:
            return ()
        if max(self._total, nodes) > _KEYS or size > _BYTES:
            return None
        start, end = self._shard.below()
        ranges = [wire.Range(start, end)]
        if start != self._shard.target:
            ranges.insert(0, wire.Range(self._shard.target))
        try:
            found = self._client.all(ranges)
        except errors.TooLarge:
            return None
        return [_columns(each) for each in found if each.kvs]


def _columns(found: reads.Found) -> Columns:
    return [kv.key for kv in found.kvs], [kv.value for kv in found.kvs]
