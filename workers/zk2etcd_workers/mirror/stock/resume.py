"""What has changed since the clean zxid, asked of ZooKeeper in few requests (before 3.6).

Who watches a node names a zxid, and hears at once if the node, or the list of its children, has
changed above that (setWatches; `zookeeper/classic/arming`). So all that etcd has is named, which is
all that was there: what has gone or has another value is told of by itself, what has come by its
parent. That is told as events are, and from then on everything is watched.
"""

from __future__ import annotations

import functools
import queue

from zk2etcd_workers.mirror.stock import clean
from zk2etcd_workers.shard import confirm, context, dirty_paths
from zk2etcd_workers.walk import etcd_keys
from zk2etcd_workers.zookeeper import reply as replies
from zk2etcd_workers.zookeeper.classic import resumption

_UNDER_WAY = 16
"""Requests: 2 MiB, which a line that is not quite thin takes before it counts as lost."""


def ask(ctx: context.Context, dirty: dirty_paths.Dirty, since: int) -> clean.Answer:
    """Ask, and wait until all is told of: what has changed is dirty then.

    :raises errors.Zk2EtcdError: a side did not answer, or the connection is another one.
    """
    sync = functools.partial(ctx.session.sync, ctx.root)
    dirty.asks()
    with ctx.session.resuming(ctx.root, ctx.epoch) as resuming:
        keys, has_root = _name(ctx, resuming, since)
        confirm.ask(ctx, sync)
        resuming.list_changed()
        confirm.ask(ctx, sync)
    return clean.Answer(keys, has_root, dirty.answered(), whole=not dirty.has_overflowed)


def _name(ctx: context.Context, resuming: resumption.Resumption, since: int) -> tuple[int, bool]:
    """Name all that etcd has of the shard: how many keys that is, and whether its root is one."""
    answers: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
    keys = under_way = 0
    has_root = False
    for page in etcd_keys.stream(ctx.etcd, ctx.ours, ctx.turn.pause, keys_only=True):
        paths = ctx.ours.paths(page.keys)
        keys += len(paths)
        has_root = has_root or paths[:1] == [ctx.root]
        for part in resuming.parts(paths):
            if under_way == _UNDER_WAY:
                confirm.wait(ctx, answers)
                under_way -= 1
            resuming.name(part, since, answers.put)
            under_way += 1
    resuming.named_all()
    for _ in range(under_way):
        confirm.wait(ctx, answers)
    return keys, has_root
