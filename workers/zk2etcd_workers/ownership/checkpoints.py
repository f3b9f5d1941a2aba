"""All checkpoints of a state prefix, as they were in the moment in which shards were taken.

Many shards are taken at once, and each wants to know much the same of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import records


class Checkpoints:
    """Shared by threads, and so never changed; what is worked out twice by chance is the same."""

    def __init__(self, kvs: Sequence[wire.Present]) -> None:
        self.kvs = kvs
        self._since: dict[int, tuple[Mapping[bytes, int], int]] = {}

    @cached_property
    def by_key(self) -> Mapping[bytes, wire.Present]:
        return {kv.key: kv for kv in self.kvs}

    @cached_property
    def _by_slug(self) -> Mapping[bytes, Sequence[bytes]]:
        found: dict[bytes, list[bytes]] = {}
        for kv in self.kvs:
            found.setdefault(slug(kv.key), []).append(kv.key)
        return found

    def zxid(self, key: bytes) -> int:
        """:raises errors.NewerFormat: it cannot be read."""
        own = self.by_key.get(key)
        return records.decode_zxid(own.value) if own is not None else 0

    def alike(self, key: bytes) -> Sequence[bytes]:
        """The other keys whose shards have the same slug as this one's: other splits, perhaps."""
        return [each for each in self._by_slug.get(slug(key), ()) if each != key]

    def since(self, revision: int) -> tuple[Mapping[bytes, int], int]:
        """`records.checkpoints`, and the highest of them, which is the floor.

        :raises errors.NewerFormat: one cannot be read.
        """
        if revision not in self._since:
            zxids = records.checkpoints(self.kvs, revision)
            self._since[revision] = zxids, max(zxids.values(), default=0)
        return self._since[revision]

    def with_(self, one: wire.Present) -> Checkpoints:
        """These, but for this one."""
        return Checkpoints([*{**self.by_key, one.key: one}.values()])


def slug(key: bytes) -> bytes:
    """A key without the hash at its shard's end."""
    return key.rpartition(b"-")[0]
