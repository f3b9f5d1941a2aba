"""What a walk emits, one by one, for tests that ask about order and completeness."""

from __future__ import annotations

from typing import NamedTuple

from zk2etcd_workers.model import mapping
from zk2etcd_workers.walk import snapshot


class Emitted(NamedTuple):
    key: bytes
    value: bytes | None
    path: bytes
    zxid: int


def emitted(walk: snapshot.Walk, shard: mapping.Mapping) -> list[Emitted]:
    """All that `walk` emits; each column is checked against its node."""
    found = []
    for run in walk:
        for key, value, node in zip(run.keys, run.values, run.nodes, strict=True):
            path = shard.path(key)
            assert path is not None
            assert node is None or (node.path, node.data) == (path, value)
            found.append(Emitted(key, value, path, 0 if node is None else node.mzxid))
    return found
