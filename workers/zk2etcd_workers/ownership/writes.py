"""Small writes of many shards in few Txns: what each keeps of its guard, its identity and its
marks, when a thousand start at the same moment.

Each comes with compares of its own, without which it must not be applied. They are all compares of
the one Txn, whose puts stay flat, so that etcd's quota counts them; where one of them does not
hold, nothing was applied, and the halves go by themselves. A lost answer is lost for all.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, together, wire

_MOST = 100
"""Compares, and operations, in one Txn."""
_MOST_BYTES = 128 * 1024


class Write(NamedTuple):
    """Of one shard; `asks` is read if it is not applied."""

    compares: Sequence[wire.Compare]
    ops: Sequence[wire.Op]
    asks: Sequence[wire.Op]

    @property
    def keys(self) -> frozenset[bytes]:
        return frozenset(op.key for op in self.ops if isinstance(op, wire.Put | wire.Delete))

    @property
    def size(self) -> int:
        return sum(len(op.key) + len(op.value) for op in self.ops if isinstance(op, wire.Put))


class Writes:
    """Of all shards of one worker."""

    def __init__(self, client: etcd.Client) -> None:
        self._client = client
        self._together = together.Together[Write, wire.Answer](self._carry)

    def write(self, write: Write) -> wire.Answer:
        """The answers to its operations; one that was not applied has those to its `asks`.

        :raises errors.EtcdError: refused; `AmbiguousWrite`: it may have been applied, or land yet.
        """
        return self._together.ask(write)

    def _carry(self, writes: Sequence[Write]) -> Sequence[wire.Answer | errors.EtcdError]:
        return [answer for chunk in _chunks(writes) for answer in self._send(chunk)]

    def _send(self, chunk: Sequence[Write]) -> Sequence[wire.Answer | errors.EtcdError]:
        compares = [each for write in chunk for each in write.compares]
        ops = [each for write in chunk for each in write.ops]
        asks = chunk[0].asks if len(chunk) == 1 else ()
        try:
            answer = self._client.txn(wire.Txn(compares, ops, asks))
            if answer.succeeded or len(chunk) == 1:
                ends = itertools.accumulate((len(write.ops) for write in chunk), initial=0)
                return [answer.after(at) for at, _ in zip(ends, chunk, strict=False)]
        except errors.AmbiguousWrite as lost:
            return [copy.copy(lost) for _ in chunk]
        except errors.EtcdError as refusal:
            # For certain, and perhaps for one of them only: its size, or a right that is lacking.
            if len(chunk) == 1:
                return [refusal]
        half = len(chunk) // 2
        return [*self._send(chunk[:half]), *self._send(chunk[half:])]


def _chunks(writes: Sequence[Write]) -> Iterator[Sequence[Write]]:
    """In their order; no key twice in one, which etcd refuses."""
    chunk: list[Write] = []
    keys: set[bytes] = set()
    compares = ops = size = 0
    for write in writes:
        compares, ops, size = (
            compares + len(write.compares),
            ops + len(write.ops),
            size + write.size,
        )
        full = max(compares, ops) > _MOST or size > _MOST_BYTES
        if chunk and (full or not keys.isdisjoint(write.keys)):
            yield chunk
            chunk, keys = [], set()
            compares, ops, size = len(write.compares), len(write.ops), write.size
        chunk.append(write)
        keys |= write.keys
    if chunk:
        yield chunk
