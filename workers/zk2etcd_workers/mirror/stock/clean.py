"""The clean zxid: all that ZooKeeper changed up to it is in etcd. Which doubts it outlives, and
when to ask what has changed since is as good as a base. Whatever is not certain is a base.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers.model import guard, tree
from zk2etcd_workers.shard import context, facts as shard_facts
from zk2etcd_workers.zookeeper.servers import protocol_choice

_OUTLIVED = (errors.SessionDoubt, errors.ZooKeeperError)


class Known(NamedTuple):
    """A clean zxid, or 0; how often etcd had been found put back when that was known; and of which
    connection it was, by the session's epoch."""

    zxid: int
    rollbacks: int
    epoch: int | None


NOTHING = Known(0, 0, None)


class Answer(NamedTuple):
    """`keys`: how many were named; `has_root`: one of them is the root's; `gone`: of them, what is
    not there, and nobody saw go; `whole`: the queue held all that has changed."""

    keys: int
    has_root: bool
    gone: set[bytes]
    whole: bool


def is_outlived(error: errors.Zk2EtcdError) -> bool:
    """Whether a connection was lost, or did not come about, and that is all: nothing else that may
    have happened has changed what is in etcd, or said that it is not what it was."""
    return type(error) in _OUTLIVED


def unfit(known: Known, ctx: context.Context, facts: shard_facts.Facts) -> str | None:
    """Why what changed since will not be asked for, as far as that is known before there is another
    connection; None if it may be."""
    mapped = ctx.mapping
    reasons = {
        "nothing is known to be clean": not known.zxid,
        "one watch tells of all": ctx.session.protocol != protocol_choice.CLASSIC,
        "nothing is written": ctx.dry_run,
        "deletes are not mirrored": ctx.config.sync.deletes != "apply",
        "it is a bucket": mapped.buckets > 1,
        "not all that is watched is mirrored": mapped.only is not None,
        "its root is /": mapped.source == tree.ROOT,
        "etcd was put back": ctx.fence.put_back or ctx.etcd.rollbacks != known.rollbacks,
        "deletes are held": facts.guard is not None,
        "some of it may not be read, or not be written": bool(
            len(facts.unsyncable) or facts.blind is not None
        ),
    }
    return _first(reasons)


def refused(
    known: Known,
    ctx: context.Context,
    facts: shard_facts.Facts,
    *,
    certain: bool,
) -> str | None:
    """Why what changed since is not to be asked for; None if it may be.

    :param certain: no trip stands in etcd, and the ensemble is the one that is known, for certain.
    """
    reasons = {
        "the connection is the one that it was": ctx.epoch == known.epoch,
        "ZooKeeper is behind": ctx.since < known.zxid,
        "a trip stands, or the ensemble is not known for certain": not certain,
    }
    return unfit(known, ctx, facts) or _first(reasons)


def _first(reasons: Mapping[str, bool]) -> str | None:
    return next((why for why, holds in reasons.items() if holds), None)


def distrusted(ctx: context.Context, answer: Answer) -> str | None:
    """Why the answer is to be looked at by a base, and so by the guard; None if it need not be."""
    if not answer.has_root:
        return "etcd has not its root, which so was not named"
    if ctx.root in answer.gone:
        return "its root is gone"
    if not answer.whole:
        return "too much has changed"
    gone = sum(path not in ctx.kept for path in answer.gone)
    lost = guard.Walk(gone, answer.keys, first=False, root_missing=False)
    return guard.trips(lost, ctx.delete_guard)
