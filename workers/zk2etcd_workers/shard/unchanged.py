"""Values that stand in etcd already: a node that is set to its own value, over and over, needs no
put, which etcd would keep as history until it is compacted.

Known is what this stretch of following wrote itself and had acknowledged; nobody else writes under
its token, and what strangers change by hand is the full sync's to repair, as ever. Kept are hashes
of path and value (64 bits each, keyed by a secret of the process), of the paths written last.
"""

from __future__ import annotations

_MOST = 32_768
"""Paths of one shard, at some 150 bytes each."""


class Unchanged:
    """Used by the shard's thread only; made anew at each start, and so after every doubt."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._values: dict[int, int] = {}

    def stands(self, path: bytes, value: bytes) -> bool:
        """The path was last written with this value."""
        return self._values.get(hash(path)) == hash(value)

    def wrote(self, path: bytes, value: bytes | None) -> None:
        """etcd acknowledged it; None: the key was deleted."""
        at, values = hash(path), self._values
        values.pop(at, None)
        if value is None:
            return
        values[at] = hash(value)
        if len(values) > self._most:
            del values[next(iter(values))]
