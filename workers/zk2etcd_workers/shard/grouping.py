"""The shape of one Txn: how many operations, in which inner Txns. Pure.

A nested Txn carries far more operations than etcd's limit of 128, which holds for each level (an
inner one may have 128 minus the outer's): 62 inner ones of 64, the checkpoint and one put are one
Txn. That put is not nested since etcd counts no nested one against its quota (costTxn in
etcdserver/quota.go, in 3.4 and before 3.5.33): without it a full etcd would go on taking ours.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import paging, plan
from zk2etcd_workers.ownership import fence

_INNER = 32
_GROUPS = 62
MOST_OPS = 64 * _GROUPS
FLAT = 100
"""Up to so many operations are not nested at all."""

_SMALL, _SMALL_BYTES = 24, 16 * 1024


@dataclasses.dataclass(frozen=True)
class Sent:
    """One Txn under way. `ranged` are the deletes that also asked for what is below them."""

    writes: Sequence[plan.Write]
    zxid: int
    ranged: Sequence[plan.Write]
    guarded: bool
    number: int = 0
    checkpoint: bytes = b""
    size: int = 0
    """Bytes of its keys and values."""
    standing: fence.Standing | None = None
    """Of when it was sent, if the whole of it waits for what the first write `expect`s."""
    shape: Any = None
    """What its operations are, if that is not to be seen by its writes."""


class Built(NamedTuple):
    """The operations of one Txn, beside the checkpoint; for the rest see `Sent`."""

    writes: Sequence[plan.Write]
    ops: Sequence[wire.Op]
    compares: Sequence[wire.Compare] = ()
    standing: fence.Standing | None = None
    shape: Any = None


@dataclasses.dataclass(frozen=True)
class Settled:
    """`done` were applied; `moved` failed their own compare; `refused` are too large for etcd;
    `theirs` have keys that are not ours; `below` are keys found under deleted ones, `further` the
    rest of the ranges in which there may be more of them."""

    done: Sequence[plan.Write] = ()
    moved: Sequence[plan.Write] = ()
    refused: Sequence[tuple[plan.Write, str]] = ()
    below: Sequence[bytes] = ()
    further: Sequence[paging.Pages] = ()
    zxid: int = 0
    theirs: Sequence[plan.Write] = ()
    keyless: Collection[bytes] | None = None
    """Paths of deletes in `done` that found no key, where the answer does not tell that."""

    def found(self, answer: wire.Answer | None) -> Iterator[bool]:
        """Of each delete in `done`, whether there was a key."""
        if self.keyless is None:
            return iter(()) if answer is None else answer.deleted()
        keyless = self.keyless
        return (write.path not in keyless for write in self.done if write.value is None)


class Waiting:
    """Writes that are not sent yet, first come, first sent. Thousands are added and taken at once:
    each is looked at for its size once."""

    def __init__(self, sized: Callable[[Sequence[plan.Write]], list[int]] | None = None) -> None:
        self._sized = sized or sizes
        self.writes: list[plan.Write] = []
        self._sizes: list[int] = []
        self.size = 0
        """Bytes of all keys and values."""

    def __len__(self) -> int:
        return len(self.writes)

    def add(self, writes: Sequence[plan.Write]) -> int:
        """:returns: their bytes."""
        more = self._sized(writes)
        self.writes += writes
        self._sizes += more
        self.size += (size := sum(more))
        return size

    def fitting(self, limit: int, most_bytes: int) -> int:
        """How many of them go into one Txn; a large value travels alone."""
        if self.size <= most_bytes:
            return min(limit, len(self.writes))
        return fitting(self._sizes, limit, most_bytes)

    def take(self, count: int) -> tuple[Sequence[plan.Write], int]:
        """The first of them, and their bytes."""
        writes, size = self.writes[:count], sum(self._sizes[:count])
        del self.writes[:count], self._sizes[:count]
        self.size -= size
        return writes, size


def grouped(ops: Sequence[wire.Op]) -> Sequence[wire.Op]:
    """The operations of the outer Txn, beside the checkpoint."""
    if len(ops) <= FLAT:
        return ops
    per = max(_INNER, -(-len(ops) // _GROUPS))
    flat = next((at for at, each in enumerate(ops) if type(each) is wire.Put), None)
    counted: Sequence[wire.Op] = ()
    if flat is not None:
        counted, ops = [ops[flat]], [*ops[:flat], *ops[flat + 1 :]]
    return [*counted, *(wire.Txn((), ops[at : at + per]) for at in range(0, len(ops), per))]


def ops(writes: Sequence[plan.Write]) -> list[wire.Op]:
    """The operations of writes."""
    new, put = tuple.__new__, wire.Put
    return [
        new(put, (write.key, write.value, 0)) if write.value is not None else wire.Delete(write.key)
        for write in writes
    ]


def guarded(writes: Sequence[plan.Write]) -> list[wire.Op]:
    """The same, each only if its key is still at what it `expect`s."""
    return [wire.Txn([unmoved(write)], [op]) for write, op in zip(writes, ops(writes), strict=True)]


def unmoved(write: plan.Write) -> wire.Compare:
    """That its key is still at what it `expect`s."""
    return wire.Compare(write.key, "mod", "=", write.expect or 0)


def led(writes: Sequence[plan.Write]) -> Sequence[plan.Write]:
    """The first put to the front, if there is one: guarded, but not nested, it is what etcd counts
    against its quota."""
    at = next((at for at, write in enumerate(writes) if write.value is not None), 0)
    return [*writes[at : at + 1], *writes[:at], *writes[at + 1 :]]


def sizes(writes: Sequence[plan.Write]) -> list[int]:
    """Bytes of the key and value of each."""
    return [len(write.key) + len(write.value or b"") for write in writes]


def is_small(count: int, total: int) -> bool:
    """So many writes, of so many bytes, are worth a Txn with those of other shards."""
    return count <= _SMALL and total <= _SMALL_BYTES


def refusal(write: plan.Write) -> str:
    """Why one write alone is too large. No endpoint is named: it is the same whoever refuses it."""
    return (
        f"etcd takes no request of its size, {sizes([write])[0]:,} bytes (see --max-request-bytes)"
    )


def fitting(sizes: Sequence[int], limit: int, most_bytes: int) -> int:
    """How many writes of these sizes, from the first on, fit into one Txn; at least one."""
    count = total = 0
    for size in sizes[:limit]:
        total += size
        if count and total > most_bytes:
            break
        count += 1
    return count


def topmost(writes: Sequence[plan.Write]) -> list[plan.Write]:
    """The deletes that no other delete of the same Txn lies directly above of."""
    deleted = {write.path for write in writes if write.value is None}
    return [w for w in writes if w.value is None and w.path.rpartition(b"/")[0] not in deleted]
