"""What has changed since the clean zxid, asked of ZooKeeper in few requests (before 3.6).

Who watches a node names a zxid, and hears at once if the node, or the list of its children, has
changed above that (setWatches; `zookeeper/classic/arming`). So all that etcd has is named, which is
all that was there: what has gone or has another value is told of by itself, what has come by its
parent. That is told as events are, and from then on everything is watched.
"""

from __future__ import annotations

import functools
import queue

from zk2etcd_workers.mirror.stock import clean, naming
from zk2etcd_workers.shard import confirm, context, dirty_paths
from zk2etcd_workers.zookeeper import reply as replies
from zk2etcd_workers.zookeeper.classic import resumption

_UNDER_WAY = 16
"""Requests: 2 MiB, which a line that is not quite thin takes before it counts as lost."""


def ask(
    ctx: context.Context, dirty: dirty_paths.Dirty, since: int, names: naming.Names
) -> clean.Answer:
    """Ask, and wait until all is told of: what has changed is dirty then.

    :param names: of all that etcd has.
    :raises errors.Zk2EtcdError: a side did not answer, or the connection is another one.
    """
    sync = functools.partial(ctx.session.sync, ctx.root)
    dirty.asks()
    with ctx.session.resuming(ctx.root, ctx.epoch) as resuming:
        _name(ctx, resuming, since, names)
        confirm.ask(ctx, sync)
        resuming.list_changed()
        confirm.ask(ctx, sync)
    gone = dirty.answered()
    return clean.Answer(names.keys, names.has_root, gone, whole=not dirty.has_overflowed)


def _name(
    ctx: context.Context, resuming: resumption.Resumption, since: int, names: naming.Names
) -> None:
    """Name all of it, and wait for the answers."""
    answers: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
    under_way = 0
    for part in names:
        if under_way == _UNDER_WAY:
            confirm.wait(ctx, answers)
            under_way -= 1
        resuming.name(part, since, answers.put)
        under_way += 1
    resuming.named_all(names.gathered)
    for _ in range(under_way):
        confirm.wait(ctx, answers)
