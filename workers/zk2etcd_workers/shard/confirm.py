"""Is a key that only etcd has really absent in ZooKeeper? Each is asked for by itself (I2)."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.model import pacing, tree
from zk2etcd_workers.shard import context
from zk2etcd_workers.walk import glance
from zk2etcd_workers.zookeeper import protocol, reply as replies

_BATCH = 64


class Verdict(NamedTuple):
    """`node` is what ZooKeeper said now: a Node, or why not. `zxid` is the reply's."""

    path: bytes
    node: tree.Node | tree.Miss
    zxid: int


def ramp_for(ctx: context.Context) -> pacing.Ramp:
    """How many paths go together, over several reads."""
    return pacing.Ramp(_BATCH, ctx.session.line.large)


def read_again(
    ctx: context.Context,
    paths: Sequence[bytes],
    *,
    walks: bool = False,
    watch: bool = True,
    ramp: pacing.Ramp | None = None,
    live: bool = False,
) -> Iterator[Verdict]:
    """Read each path now, in bulk, waiting for the answers. `walks`: a walk is about to list them.
    `watch`: see `session.Session.read`; `live`: other shards' walks have not all permits.

    :raises errors.SessionDoubt: the session changed, or did not answer.
    """
    answers: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
    at, ramp = 0, ramp or ramp_for(ctx)
    while at < len(paths):
        ctx.turn.beat()
        wanted = pacing.fitting(paths[at : at + ramp.batch], ctx.session.request_size.most)
        granted = ctx.session.take(wanted, live=live)
        if not granted:
            ctx.turn.pause(0.002)
            continue
        ops = [(protocol.GET_DATA, path) for path in paths[at : at + granted]]
        ctx.session.read(ops, answers.put, walks=walks, watch=watch)
        reply = wait(ctx, answers)
        ramp.saw(sum(len(each.data) for each in reply.results if type(each) is tree.Node))
        for (_, path), node in zip(ops, reply.results, strict=True):
            yield Verdict(path, node, reply.zxid)
        at += granted


def look(
    ctx: context.Context,
    paths: Sequence[bytes],
    seen: glance.Seen,
    *,
    walks: bool = False,
    watch: bool = True,
) -> Iterator[Verdict]:
    """As `read_again`, but for what was just read; in any order."""
    unread = []
    for path in paths:
        if (node := seen.node(path)) is None:
            unread.append(path)
        else:
            yield Verdict(path, node, seen.zxid)
    yield from read_again(ctx, unread, walks=walks, watch=watch)


def with_root(ctx: context.Context, seen: glance.Seen, found: Sequence[Verdict]) -> glance.Seen:
    """What was seen, and the shard's root, if it is among these."""
    for verdict in found:
        if verdict.path == ctx.root and isinstance(verdict.node, tree.Node):
            read = {(protocol.GET_DATA, verdict.path): verdict.node}
            zxid = max(seen.zxid, verdict.zxid)
            seen = seen._replace(found={**seen.found, **read}, zxid=zxid)
    return seen


def ask(ctx: context.Context, send: Callable[[replies.ReplySink], None]) -> replies.Reply:
    """Send one request and wait for its reply.

    :raises errors.ZooKeeperError: it failed, or was not answered.
    """
    return ask_all(ctx, [send])[0]


def ask_all(
    ctx: context.Context, sends: Sequence[Callable[[replies.ReplySink], None]]
) -> Sequence[replies.Reply]:
    """Send requests that are answered in their order, and wait for all replies; one that failed is
    not waited beyond.

    :raises errors.ZooKeeperError: one failed, or was not answered.
    """
    answers: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
    came: list[replies.Reply] = []

    def arrived(reply: replies.Reply) -> None:
        """In the connection's thread: it wakes the one that waits once."""
        came.append(reply)
        if len(came) == len(sends) or reply.error is not None:
            for each in came:
                answers.put(each)
            came.clear()

    for send in sends:
        send(arrived)
    return [wait(ctx, answers) for _ in sends]


def wait(ctx: context.Context, answers: queue.SimpleQueue[replies.Reply]) -> replies.Reply:
    """The next of these answers; raises as `ask` does."""
    left = ctx.config.zookeeper.request_timeout + 2
    while left > 0:
        ctx.turn.beat()
        try:
            reply = answers.get(timeout=turn.SLICE)
        except queue.Empty:
            left -= turn.SLICE
            continue
        if reply.error is not None:
            raise reply.error
        if ctx.epoch is not None and reply.epoch != ctx.epoch:
            raise errors.SessionDoubt("the ZooKeeper session changed")
        return reply
    raise errors.SessionDoubt("ZooKeeper did not answer a request")


def is_absent(ctx: context.Context, node: tree.Node | tree.Miss) -> bool:
    """NoNode; or, with `ephemeral: skip`, a true ephemeral."""
    if isinstance(node, tree.Node):
        return ctx.skips_ephemerals and tree.is_ephemeral(node)
    return node is tree.Miss.NO_NODE
