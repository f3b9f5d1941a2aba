"""What an etcd was found to take less of than usual, and how many keys are looked up within that.

Its limits cannot be asked for, only met. Whoever meets one tells it here, so that not every walk
and every shard has its Txns refused again; a client keeps it as long as it lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import pacing

READS_IN_TXN = 100
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


class Reading(Protocol):
    """A client, as far as a lookup needs one. `reads_in_txn`: reads in one Txn at most."""

    reads_in_txn: int

    def txn(self, txn: wire.Txn, *, write: bool = True) -> wire.Answer: ...

    def fewer_reads(self, refused: int) -> bool: ...


def lookup(client: Reading, keys: Sequence[bytes], *, keys_only: bool) -> list[wire.Present | None]:
    """See `client.Client.lookup`."""
    found: list[wire.Present | None] = []
    ramp = pacing.Ramp(READS_IN_TXN)
    while len(found) < len(keys):
        most = client.reads_in_txn if keys_only else min(client.reads_in_txn, ramp.batch)
        chunk = keys[len(found) : len(found) + most]
        reads = [wire.Range(key, keys_only=keys_only) for key in chunk]
        try:
            answer = client.txn(wire.Txn((), reads), write=False)
        except (errors.TooManyOperations, errors.TooLarge) as refusal:
            if not client.fewer_reads(len(chunk)):
                raise refusal
            continue
        found += (next(iter(answer.kvs(at)), None) for at in range(len(chunk)))
        ramp.saw(sum(len(each.value) for each in found[-len(chunk) :] if each is not None))
    return found
