"""What etcd has of a batch of repairs, told apart by whose it is: read before ZooKeeper is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.shard import context


class Asked(NamedTuple):
    """Paths under repair, whose keys are read; `strange`: since strangers changed them."""

    number: int
    paths: list[bytes]
    strange: bool


class Batch(NamedTuple):
    """Paths under repair, with what etcd had. It is the tag of their read in ZooKeeper."""

    asked: Asked
    there: dict[bytes, wire.Present]
    theirs: frozenset[bytes] = frozenset()
    """Of the paths, those whose key is there and not ours."""


class Found(NamedTuple):
    """What etcd answered about a batch."""

    asked: Asked
    answer: wire.Answer | None
    error: errors.EtcdError | None


def batch(
    ctx: context.Context, asked: Asked, there: dict[bytes, wire.Present], answer: wire.Answer
) -> Batch:
    """What of it is ours, and the paths of what is not.

    :param answer: with `ownership: marks` their marks, read behind them.
    """
    if ctx.marks is None:
        return Batch(asked, there)
    theirs = _theirs(ctx, asked.paths, there, answer)
    return Batch(asked, {path: kv for path, kv in there.items() if path not in theirs}, theirs)


def _theirs(
    ctx: context.Context,
    paths: Sequence[bytes],
    there: dict[bytes, wire.Present],
    answer: wire.Answer,
) -> frozenset[bytes]:
    of, key = ctx.marks, ctx.mapping.key
    assert of is not None
    theirs = set[bytes]()
    of.orphans.clear()
    for at, path in enumerate(paths, len(paths)):
        mark = next(iter(answer.kvs(at)), None)
        if not of.looked(there.get(path), key(path), mark) and path in there:
            theirs.add(path)
    return frozenset(theirs)
