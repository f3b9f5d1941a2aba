"""What stands for the ensemble itself, beside the mirrored prefix: the births of the oldest
children of ZooKeeper's `/`. Who removes a prefix's root and makes it anew leaves them as they are;
who wipes or replaces the ensemble does not."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from zk2etcd_workers.model import tree
from zk2etcd_workers.ownership import records
from zk2etcd_workers.shard import confirm, context
from zk2etcd_workers.zookeeper import protocol, reply as replies

MOST = 16
_LISTED = 1000
_TOO_MANY = 10_000
_ITS_OWN = b"/zookeeper"

Births = Mapping[bytes, records.Birth]


def stands(ctx: context.Context, known: Births) -> bool | None:
    """Whether any of what is known is as it was; None if nothing is known, or may be read."""
    if not known:
        return None
    found = list(confirm.read_again(ctx, list(known), watch=False))
    if any(
        isinstance(each.node, tree.Node) and birth(each.node) == known[each.path] for each in found
    ):
        return True
    silent = (tree.Miss.NO_AUTH, tree.Miss.OTHER)
    return None if any(each.node in silent for each in found) else False


def oldest(ctx: context.Context) -> Births:
    """What may stand for the ensemble now: not the shard's own root, whose birth is known by
    itself; roots of other prefixes only where too little else is there, since they may all be made
    anew together. Ephemerals end with their session."""
    nodes = [
        n for n in ctx.oldest.of(ctx.epoch, ctx.turn, lambda: _look(ctx)) if n.path != ctx.root
    ]
    return {node.path: birth(node) for node in nodes[:MOST]}


def children(ctx: context.Context) -> Sequence[bytes]:
    """The names of the children of `/`, as far as they may be listed."""
    ops = [(protocol.GET_CHILDREN, tree.ROOT)]
    reply: replies.Reply = confirm.ask(
        ctx, lambda sink: ctx.session.read(ops, sink, walks=True, watch=False)
    )
    listing = reply.results[0]
    return listing[:_LISTED] if isinstance(listing, tree.LISTINGS) else ()


def _look(ctx: context.Context) -> Sequence[tree.Node]:
    """The oldest, the better ones first; one more than are needed."""
    for root in confirm.read_again(ctx, [tree.ROOT], watch=False):
        if not isinstance(root.node, tree.Node) or root.node.children > _TOO_MANY:
            return ()
    paths = [tree.join(tree.ROOT, name) for name in children(ctx)]
    fresh = [path for path in paths if path != _ITS_OWN]
    found = [each.node for each in confirm.read_again(ctx, fresh, watch=False)]
    lasting = [n for n in found if isinstance(n, tree.Node) and not tree.is_ephemeral(n)]
    mirrored = {prefix.from_.encode() for prefix in ctx.config.sync.prefixes}
    lasting.sort(key=lambda node: (node.path in mirrored, node.czxid))
    return lasting[: MOST + 1]


def birth(node: tree.Node) -> records.Birth:
    return records.Birth(node.czxid, node.ctime)


def told(of: records.Birth) -> str:
    """For a person."""
    at = datetime.datetime.fromtimestamp(of.at / 1000, datetime.UTC)
    return f"zxid {of.zxid:#x} ({at.isoformat(timespec='seconds')})"
