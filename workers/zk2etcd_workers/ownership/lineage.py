"""Which checkpoints speak of an ensemble that is gone, for a shard that is new.

A release of an ensemble that is behind lowers the floor of the shard that it names. A prefix that
is configured only afterwards was never held, so nobody released it, and the checkpoint of one that
was removed before would keep the ensemble out that everybody else mirrors. So it takes over what
was released, but never more than is certain: a floor that is too low would let an old server in.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import reads, records


class Checkpoint(NamedTuple):
    """`revision` is etcd's, of its last change."""

    zxid: int
    revision: int


def gone_until(shard: str, since: Mapping[str, int], checkpoints: Mapping[str, Checkpoint]) -> int:
    """The etcd revision up to which checkpoints are none for this shard, which has no identity of
    its own; 0: all of them count.

    :param since: by shard, the `since` of its identity.

    It is the earliest release that still stands. Whatever was checkpointed before is of an ensemble
    that was given up; what came after it may be of the one that answers now, also where other
    shards were released later. A shard that was mirrored keeps its floor, and so does everybody as
    long as no released shard has really been mirrored since.
    """
    own = checkpoints.get(shard)
    if own is not None and own.zxid:
        return 0
    released = {each: revision for each, revision in since.items() if revision}
    mirrored = (
        checkpoints[each].zxid and checkpoints[each].revision > revision
        for each, revision in released.items()
        if each in checkpoints
    )
    return min(released.values()) if any(mirrored) else 0


def read(
    client: reads.Reads, keys: records.Keys, shard: str, identities: reads.Found | None
) -> int:
    """`gone_until`, of what etcd holds.

    :param identities: of all shards, if they have just been read.
    :raises errors.NewerFormat: it cannot be read.
    """
    found = identities or client.range(*keys.all_of("identities"))
    since = found.derived(_since)
    if not any(since.values()):
        return 0
    checkpoints = client.range(*keys.all_of("checkpoints")).derived(_checkpoints)
    return gone_until(shard, since, checkpoints)


def _since(kvs: Iterable[wire.Present]) -> Mapping[str, int]:
    return {_shard(kv.key): _since_of(kv.value, kv.key) for kv in kvs}


@functools.lru_cache(maxsize=4096)
def _since_of(value: bytes, key: bytes) -> int:
    """Of a thousand shards that are new, each few look at the identities of all."""
    return records.IdentityRecord.from_bytes(value, key).since


def _checkpoints(kvs: Iterable[wire.Present]) -> Mapping[str, Checkpoint]:
    return {_shard(kv.key): Checkpoint(records.decode_zxid(kv.value), kv.revision) for kv in kvs}


def _shard(key: bytes) -> str:
    return key.rpartition(b"/")[2].decode()
