"""Keys with their marks, as they are now: each pair in one Txn, or it would say nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.belonging import marks
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import pacing


class Pair(NamedTuple):
    """None is what is not there."""

    key: wire.Present | None
    mark: wire.Present | None

    @property
    def is_ours(self) -> bool:
        key, mark = self
        return key is not None and mark is not None and marks.says(mark) == key.created

    @property
    def is_theirs(self) -> bool:
        return self.key is not None and not self.is_ours


def ramp_for(client: etcd.Client) -> pacing.Ramp:
    """How many keys go together, over several of these."""
    return pacing.Ramp(client.learned.reads, client.learned.down.large)


def lookup(
    client: etcd.Client, base: bytes, keys: Sequence[bytes], ramp: pacing.Ramp | None = None
) -> Iterator[Pair]:
    """The pair of each key, in their order.

    :param base: what the marks' names begin with.
    :raises errors.EtcdError: a Txn was refused or not answered.
    """
    learned, done = client.learned, 0
    ramp = ramp or ramp_for(client)
    while done < len(keys):
        most = max(1, min(learned.reads // 2, ramp.batch))
        chunk = keys[done : done + most]
        reads = [wire.Range(name) for key in chunk for name in (key, base + key)]
        try:
            answer = client.txn(wire.Txn((), reads), write=False)
        except (errors.TooManyOperations, errors.TooLarge) as refusal:
            if not learned.fewer_reads(len(reads)):
                raise refusal
            continue
        done += len(chunk)
        pairs = [Pair(_first(answer, at), _first(answer, at + 1)) for at in range(0, len(reads), 2)]
        ramp.saw(sum(len(each.key.value) for each in pairs if each.key is not None))
        yield from pairs


def _first(answer: wire.Answer, at: int) -> wire.Present | None:
    return next(iter(answer.kvs(at)), None)
