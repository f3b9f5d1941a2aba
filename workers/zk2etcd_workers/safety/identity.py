"""Is this still the ensemble that was mirrored? One that was wiped, restored from elsewhere or
swapped answers readily, and its tree looks like a mass delete and a mass change.

A node's czxid and ctime stay as they are for its whole life, and another ensemble hardly ever gave
the same ones to the same path. So those of the prefix's root are kept in etcd (ZooKeeper's own `/`
has none: of up to 16 of its oldest children), beside those of what stands for the ensemble in
general (`ensemble`), and compared before a base writes anything. Where they are the same, it may
still be an earlier state of it (`history`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zk2etcd import conditions, errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import history as histories, tree
from zk2etcd_workers.ownership import kept, lineage, records
from zk2etcd_workers.safety import ensemble, history
from zk2etcd_workers.shard import confirm, context, ring
from zk2etcd_workers.walk import glance

_FEW = 8


class Identity:
    """What is known of one shard's ensemble, from owning the shard to the end of following it."""

    def __init__(self, ctx: context.Context) -> None:
        self._ctx = ctx
        self._key = ctx.keys.identity(ctx.shard.id)
        self._known: dict[bytes, records.Birth] = {}
        self._stored = records.IdentityRecord({})
        self._kin: ensemble.Births = {}
        self._marks: Sequence[histories.Mark] = ()
        self._era = 0
        # Those that were there on this session as they are known: when they go, we see it.
        self._live: set[bytes] = set()
        self._seen = glance.NOTHING
        """What was just read on this connection."""
        # Those that could not be read at the base: no news of them, so they stay known.
        self._hidden: set[bytes] = set()

    def bind(self, ctx: context.Context, seen: glance.Seen) -> None:
        """From now on only what this context's connection says counts; `seen` was read there just
        now."""
        self._ctx, self._seen = ctx, seen

    def seen(self) -> glance.Seen:
        """What has been read on this connection to settle this: for a walk that begins now. From
        here on it is old."""
        seen, self._seen = self._seen, glance.NOTHING
        return seen

    @property
    def is_hidden(self) -> bool:
        """What stands for the ensemble may not be read, so that nobody can tell."""
        return bool(self._hidden) and not self._live

    @property
    def is_known(self) -> bool:
        """Something that stands for it is there on this connection, as it was known."""
        return bool(self._live)

    def load(self, known: kept.Kept) -> None:
        """Learn what is kept in etcd. A shard that is new keeps what others were released of, at
        once: it must know it too when it was cut off in its first base.

        :raises errors.NewerFormat: it cannot be read.
        """
        ctx = self._ctx
        births = [records.IdentityRecord.from_bytes(kv.value, kv.key) for kv in known.identity]
        stored = next(iter(births), None)
        since = 0
        if stored is None:
            since = lineage.read(ctx.reads, ctx.keys, ctx.shard.id, known.identities)
        self._stored = stored or records.IdentityRecord({}, since)
        self._known, self._kin = dict(self._stored.births), self._stored.ensemble
        era, token = self._stored.era, ctx.fence.token
        # A token from before, in an etcd that was set up anew, counts less than what is kept.
        self._era = token if not era or 0 < token < era else era
        if not era:
            self._void(known.marks)
        self._marks = ctx.ring.load(known.marks, ctx.keys.marks(ctx.shard.id), era)
        if since:
            ctx.log.info("new: earlier checkpoints are of an ensemble that was given up")
            self._store()

    def _void(self, marks: Sequence[wire.Present]) -> None:
        """None of the marks counts, nor may one later. In an etcd into which our keys were copied
        from one that was further on, their tokens are above ours."""
        ctx = self._ctx
        if ctx.dry_run:
            return
        stale = [wire.Delete(kv.key) for kv in marks if ring.of_era(kv, ctx.fence.token)]
        for at in range(0, len(stale), _FEW):
            ctx.fence.write(stale[at : at + _FEW])

    @property
    def told(self) -> conditions.Ensemble | None:
        """By what the ensemble is known; None if by nothing yet."""
        births = {**self._kin, **self._known}
        if not births:
            return None
        path = min(births, key=lambda each: births[each].at)
        zxid, at = births[path]
        shown, marks = tree.shown(path), len(self._marks)
        return conditions.Ensemble(shown, zxid, at / 1000, len(births), marks)

    @property
    def since(self) -> int:
        """See `records.IdentityRecord`."""
        return self._stored.since

    def changed(self, was_deleted: Callable[[bytes], bool]) -> str | None:
        """Why this is not the ensemble that was mirrored, or an earlier state of it; None if it is
        the same, or nobody can tell.

        :param was_deleted: a delete of this path was seen live, so what is there now is another.
        """
        return self._is_another(was_deleted) or self._is_earlier()

    def _is_earlier(self) -> str | None:
        ctx, judged = self._ctx, history.judged(self._ctx, self._marks, self._seen)
        ctx.ring.telling = judged.telling
        prefix = ctx.keys.marks(ctx.shard.id)
        puts = ctx.ring.hidden(prefix, ctx.fence.token, judged.hidden)
        if puts and judged.refuted is None and not ctx.dry_run:
            ctx.fence.owe(puts)
        return judged.refuted

    def _is_another(self, was_deleted: Callable[[bytes], bool]) -> str | None:
        found = {v.path: v.node for v in self._read(list(self._known))}
        others = []
        for path, node in found.items():
            if isinstance(node, tree.Node) and ensemble.birth(node) == self._known[path]:
                self._live.add(path)
            elif was_deleted(path):
                del self._known[path]
            elif isinstance(node, tree.Node) or node is tree.Miss.NO_NODE:
                others.append((path, node))
        silent = {path for path, node in found.items() if histories.is_silent(node)}
        self._hidden, hidden = silent & set(self._known), bool(silent)
        if self._live or hidden or not others:
            return None
        return self._doubted(others)

    def _doubted(self, others: Sequence[tuple[bytes, tree.Node | tree.Miss]]) -> str | None:
        """What is mirrored is another one, or gone: so is the ensemble, unless something beside it
        stands. A missing root alone tells of no other one: that is the delete guard's case."""
        stands = ensemble.stands(self._ctx, self._kin)
        missing = not self._is_top and others[0][1] is tree.Miss.NO_NODE
        if stands or (missing and stands is None):
            what = "is gone" if missing else "was created anew"
            self._ctx.log.info(f"{tree.shown(others[0][0])} {what}, in the ensemble that is known")
            return None
        return self._told(*others[0], len(others))

    def saw(self, path: bytes, result: tree.Node | tree.Miss) -> None:
        """Follow read the root (or a child of `/`), or found it absent. On the connection on
        which the one that is known was there, another one is there by right.

        :raises errors.SessionDoubt: it is another one, and the first was gone before.
        """
        node = result if isinstance(result, tree.Node) else None
        if node is None and result is not tree.Miss.NO_NODE:
            return
        known = self._known.get(path)
        if known is None:
            if node is not None and not self._known and not tree.is_ephemeral(node):
                self._learn(path, ensemble.birth(node))
            return
        if node is not None and ensemble.birth(node) == known:
            return
        if path not in self._live:
            if node is not None:
                raise errors.SessionDoubt("the root is another one than was mirrored")
            return
        del self._known[path]
        self._live.discard(path)
        if node is not None:
            self._known[path] = ensemble.birth(node)
            self._live.add(path)
        self._store()

    def concerns(self, path: bytes) -> bool:
        """Is this a path that stands for the ensemble, or may?"""
        if self._is_top:
            return path.rfind(b"/") == 0 and path != tree.ROOT
        return path == self._ctx.root

    def settle(self, *, held: bool) -> None:
        """What is there now is what is mirrored: a base is about to begin, or has ended. It is kept
        in etcd with, or before, what the shard writes next.

        :param held: it has not ended, or the guard holds deletes; a root that is missing is not
            forgotten then.
        """
        known = {path: self._known[path] for path in self._live | self._hidden}
        room = (ensemble.MOST if self._is_top else 1) - len(known)
        nodes = self._candidates() if room else []
        known.update({node.path: ensemble.birth(node) for node in nodes[:room]})
        if known or not held:
            self._known, self._live = known, set(known) - self._hidden
        if self._live or not self._known:
            self._kin = ensemble.oldest(self._ctx) or self._kin
        if self._record() != self._stored:
            self._store(soon=True)

    @property
    def _is_top(self) -> bool:
        return self._ctx.root == tree.ROOT

    def _candidates(self) -> list[tree.Node]:
        """What may stand for the ensemble and does not yet, the oldest first."""
        ctx, paths = self._ctx, [self._ctx.root]
        if self._is_top:
            paths = [tree.join(tree.ROOT, name) for name in ensemble.children(ctx)]
            paths = [path for path in paths if not ctx.mapping.is_closed(path)]
        fresh = [path for path in paths if path not in self._live | self._hidden]
        nodes = [verdict.node for verdict in self._read(fresh)]
        lasting = [n for n in nodes if isinstance(n, tree.Node) and not tree.is_ephemeral(n)]
        return sorted(lasting, key=lambda node: node.czxid)

    def _read(self, paths: list[bytes]) -> Sequence[confirm.Verdict]:
        found = list(confirm.look(self._ctx, paths, self._seen, walks=True))
        self._seen = confirm.with_root(self._ctx, self._seen, found)
        return found

    def _told(self, path: bytes, node: tree.Node | tree.Miss, count: int) -> str:
        known = f"{tree.shown(path)} was created at {ensemble.told(self._known[path])}"
        now = "now it is not there"
        if isinstance(node, tree.Node):
            now = f"now at {ensemble.told(ensemble.birth(node))}"
        more = f", and {count - 1} more like it" if count > 1 else ""
        return (
            f"identity: {known}, {now}{more}: ZooKeeper was wiped, restored or replaced, "
            "or the node was created anew while nobody looked"
        )

    def _learn(self, path: bytes, birth: records.Birth) -> None:
        self._known[path] = birth
        self._live.add(path)
        self._store()

    def _store(self, *, soon: bool = False) -> None:
        ctx = self._ctx
        if ctx.dry_run:
            return
        record = self._record()
        put = wire.Put(self._key, record.to_bytes())
        if soon:
            ctx.fence.owe([put])
        else:
            ctx.fence.write([put])
        self._stored = record

    def _record(self) -> records.IdentityRecord:
        return records.IdentityRecord(dict(self._known), self.since, self._kin, self._era)
