"""What an etcd was found to take less of than usual. Pure.

Its limits cannot be asked for, only met. Whoever meets one tells it here, so that not every walk
and every shard has its Txns refused again; a client keeps it as long as it lives.
"""

from __future__ import annotations

_LEAST_BYTES = 1024


class Learned:
    """Plain numbers that only fall; 0 means that no limit was met. Shards that learn at the same
    time do no harm: each tells of a refusal of its own."""

    def __init__(self) -> None:
        self.operations = 0
        self.bytes = 0

    def fewer_operations(self, refused: int, most: int) -> bool:
        """A Txn of `refused` operations was too many. Half of them, and at most `most`, is what is
        tried next; False when there is nothing to give."""
        self.operations = min(self.operations or most, max(1, refused // 2))
        return refused > 1

    def fewer_bytes(self, refused: int) -> None:
        """A Txn of several writes, of `refused` bytes in all, was too large."""
        half = max(_LEAST_BYTES, refused // 2)
        self.bytes = min(self.bytes or half, half)
