"""Is this still the ensemble that was mirrored? One that was wiped, restored from elsewhere or
swapped answers readily, and its tree looks like a mass delete and a mass change.

A node's czxid and ctime stay as they are for its whole life, and another ensemble hardly ever gave
the same ones to the same path. So those of the prefix's root are kept in etcd (ZooKeeper's own `/`
has none: of up to 16 of its oldest children), and compared before a base writes anything.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import tree
from zk2etcd_workers.ownership import lineage, records
from zk2etcd_workers.shard import confirm, context
from zk2etcd_workers.zookeeper import protocol, reply as replies

_CHILDREN = 16
_LISTED = 1000


class Identity:
    """What is known of one shard's ensemble, from owning the shard to the end of following it."""

    def __init__(self, ctx: context.Context) -> None:
        self._ctx = ctx
        self._key = ctx.keys.identity(ctx.shard.id)
        self._known: dict[bytes, records.Birth] = {}
        self._stored = records.IdentityRecord({})
        # Those that were there on this session as they are known: when they go, we see it.
        self._live: set[bytes] = set()
        # Those that could not be read at the base: no news of them, so they stay known.
        self._hidden: set[bytes] = set()

    def bind(self, ctx: context.Context) -> None:
        """From now on only what this context's connection says counts."""
        self._ctx = ctx

    @property
    def is_hidden(self) -> bool:
        """What stands for the ensemble may not be read, so that nobody can tell."""
        return bool(self._hidden) and not self._live

    def load(self) -> None:
        """Read what is kept in etcd. A shard that is new keeps what others were released of, at
        once: it must know it too when it was cut off in its first base.

        :raises errors.NewerFormat: it cannot be read.
        """
        ctx = self._ctx
        stored = records.read_identity(ctx.etcd, self._key)
        since = 0 if stored else lineage.read(ctx.etcd, ctx.keys, ctx.shard.id)
        self._stored = stored or records.IdentityRecord({}, since)
        self._known = dict(self._stored.births)
        if since:
            ctx.log.info("new: earlier checkpoints are of an ensemble that was given up")
            self._store()

    @property
    def since(self) -> int:
        """See `records.IdentityRecord`."""
        return self._stored.since

    def changed(self, was_deleted: Callable[[bytes], bool]) -> str | None:
        """Why this is not the ensemble that was mirrored; None if it is, or nobody can tell.

        :param was_deleted: a delete of this path was seen live, so what is there now is another.
        """
        found = {
            v.path: v.node for v in confirm.read_again(self._ctx, list(self._known), walks=True)
        }
        others = []
        for path, node in found.items():
            if isinstance(node, tree.Node) and _birth(node) == self._known[path]:
                self._live.add(path)
            elif was_deleted(path):
                del self._known[path]
            elif isinstance(node, tree.Node) or (self._is_top and node is tree.Miss.NO_NODE):
                others.append((path, node))
        silent = (tree.Miss.NO_AUTH, tree.Miss.OTHER)
        self._hidden = {path for path, node in found.items() if node in silent} & set(self._known)
        hidden = any(node in silent for node in found.values())
        if self._live or not others or hidden:
            return None
        return self._told(*others[0], len(others))

    def saw(self, path: bytes, node: tree.Node | None) -> None:
        """Follow read the root (or a child of `/`): None if it is absent. On the connection on
        which the one that is known was there, another one is there by right.

        :raises errors.SessionDoubt: it is another one, and the first was gone before.
        """
        known = self._known.get(path)
        if known is None:
            if node is not None and not self._known and not tree.is_ephemeral(node):
                self._learn(path, _birth(node))
            return
        if node is not None and _birth(node) == known:
            return
        if path not in self._live:
            if node is not None:
                raise errors.SessionDoubt("the root is another one than was mirrored")
            return
        del self._known[path]
        self._live.discard(path)
        if node is not None:
            self._known[path] = _birth(node)
            self._live.add(path)
        self._store()

    def concerns(self, path: bytes) -> bool:
        """Is this a path that stands for the ensemble, or may?"""
        if self._is_top:
            return path.rfind(b"/") == 0 and path != tree.ROOT
        return path == self._ctx.root

    def settle(self, *, held: bool) -> None:
        """A base has ended: what is there now is what was mirrored.

        :param held: the guard holds deletes; a root that is missing is not forgotten then.
        """
        known = {path: self._known[path] for path in self._live | self._hidden}
        room = (_CHILDREN if self._is_top else 1) - len(known)
        nodes = self._candidates() if room else []
        known.update({node.path: _birth(node) for node in nodes[:room]})
        if not known and held:
            return
        self._known, self._live = known, set(known) - self._hidden
        if self._known != self._stored.births:
            self._store()

    @property
    def _is_top(self) -> bool:
        return self._ctx.root == tree.ROOT

    def _candidates(self) -> list[tree.Node]:
        """What may stand for the ensemble and does not yet, the oldest first."""
        ctx, paths = self._ctx, [self._ctx.root]
        if self._is_top:
            paths = [tree.join(tree.ROOT, name) for name in self._children()[:_LISTED]]
            paths = [path for path in paths if not ctx.mapping.is_excluded(path)]
        fresh = [path for path in paths if path not in self._live | self._hidden]
        nodes = [verdict.node for verdict in confirm.read_again(ctx, fresh, walks=True)]
        lasting = [n for n in nodes if isinstance(n, tree.Node) and not tree.is_ephemeral(n)]
        return sorted(lasting, key=lambda node: node.czxid)

    def _children(self) -> Sequence[bytes]:
        ops = [(protocol.GET_CHILDREN, tree.ROOT)]
        reply: replies.Reply = confirm.ask(
            self._ctx, lambda sink: self._ctx.session.read(ops, sink, walks=True)
        )
        listing = reply.results[0]
        return listing if isinstance(listing, list) else ()

    def _told(self, path: bytes, node: tree.Node | tree.Miss, count: int) -> str:
        known = f"{tree.shown(path)} was created at {_told(self._known[path])}"
        now = "now it is not there"
        if isinstance(node, tree.Node):
            now = f"now at {_told(_birth(node))}"
        more = f", and {count - 1} more like it" if count > 1 else ""
        return (
            f"identity: {known}, {now}{more}: ZooKeeper was wiped, restored or replaced, "
            "or the node was created anew while nobody looked"
        )

    def _learn(self, path: bytes, birth: records.Birth) -> None:
        self._known[path] = birth
        self._live.add(path)
        self._store()

    def _store(self) -> None:
        ctx = self._ctx
        if ctx.dry_run:
            return
        record = records.IdentityRecord(dict(self._known), self.since)
        put = wire.Put(self._key, record.to_bytes())
        ctx.fence.write([put])
        self._stored = record


def _birth(node: tree.Node) -> records.Birth:
    return records.Birth(node.czxid, node.ctime)


def _told(birth: records.Birth) -> str:
    at = datetime.datetime.fromtimestamp(birth.at / 1000, datetime.UTC)
    return f"zxid {birth.zxid:#x} ({at.isoformat(timespec='seconds')})"
