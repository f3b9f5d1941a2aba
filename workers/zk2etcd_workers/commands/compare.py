"""The work behind `diff`: what differs between ZooKeeper and etcd, and stays different.

A running mirror is always a few milliseconds behind, so a difference seen once means nothing. Each
is looked at again several times, etcd first and then ZooKeeper, as a repair does it; and a key that
etcd changed between two looks is being mirrored right now, so it is not called different either.
Memory stays bounded: both sides are compared as streams, and what differs is spooled.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from zk2etcd import messages
from zk2etcd_workers.belonging import looking
from zk2etcd_workers.commands import both_sides, spool
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.mirror import counting
from zk2etcd_workers.model import pacing, plan, tree
from zk2etcd_workers.safety import keeping
from zk2etcd_workers.shard import confirm, context
from zk2etcd_workers.walk import beside, course, snapshot

_CHUNK = 64
_SAMPLE = 20
_TOLD = 0.2
_MOST_JUDGED = 100_000

Tell = Callable[[int, int], None]
"""Called now and then with the nodes done so far, and how many there are, 0 while unknown."""


class Rounds(NamedTuple):
    """How often each difference is looked at again; `interval` in seconds before each time."""

    times: int = 3
    interval: float = 1.0


class Difference(NamedTuple):
    """`kind` is one of spool.KINDS; path and key as text, not yet fit for a terminal."""

    kind: str
    path: str
    key: str


@dataclasses.dataclass
class Found:
    """One shard's comparison. `nodes` are ZooKeeper's, `keys` etcd's that could be theirs.

    `foreign` keys are no ZooKeeper path, `kept` ones only etcd has, as `sync.deletes: never` wants
    it, `changing` ones were written to in etcd between the last two looks. `unreadable` are nodes
    and listings that ZooKeeper does not let us read: nothing is known about those.
    """

    shard: messages.Shard
    nodes: int = 0
    keys: int = 0
    foreign: int = 0
    foreign_sample: list[str] = dataclasses.field(default_factory=list)
    kept: int = 0
    changing: int = 0
    unreadable: int = 0
    unreadable_sample: list[str] = dataclasses.field(default_factory=list)
    counts: dict[str, int] = dataclasses.field(
        default_factory=lambda: dict.fromkeys(spool.KINDS, 0)
    )
    records: spool.Spool = dataclasses.field(default_factory=spool.Spool)
    key_of: Callable[[bytes], bytes] = lambda path: path

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def equal(self) -> bool:
        """Everything could be compared, and nothing differs."""
        return not self.total and not self.unreadable

    def document(self) -> dict[str, Any]:
        """Everything but the differences, as plain data."""
        shard = self.shard
        counts = {**self.counts, "unreadable": self.unreadable, "changing": self.changing}
        return {
            "id": shard.id,
            "from": shard.source,
            "to": shard.target,
            "bucket": shard.bucket,
            "buckets": shard.buckets,
            "equal": self.equal,
            "nodes": self.nodes,
            "keys": self.keys,
            **counts,
            "kept": self.kept,
            "foreign": self.foreign,
            "unreadable_sample": self.unreadable_sample,
            "foreign_sample": self.foreign_sample,
        }

    def differences(self, kind: str | None = None) -> Iterator[Difference]:
        """All of them in key order, or those of one kind."""
        for record in self.records:
            if kind in (None, record.kind):
                path = record.path
                yield Difference(record.kind, tree.shown(path), tree.shown(self.key_of(path)))

    def cannot_read(self, path: bytes) -> None:
        self.unreadable += 1
        if len(self.unreadable_sample) < _SAMPLE:
            self.unreadable_sample.append(tree.shown(path))


def compare(
    both: both_sides.Sides,
    shard: messages.Shard,
    rounds: Rounds,
    told: Tell,
) -> Found:
    """Compare one shard, without owning it and without writing anything.

    :param told: each look at a node that differs counts as one more node.
    :raises errors.Zk2EtcdError: a side did not answer, or broke off: nothing is known.
    """
    ctx = both.context(shard)
    found = Found(shard, key_of=ctx.mapping.key)
    both.sync(ctx.root)
    differing = _first_look(ctx, found, told)
    done = found.nodes
    for looks in range(rounds.times, 0, -1):
        if not len(differing):
            break
        ctx.turn.pause(rounds.interval)
        both.sync(ctx.root)
        looked = _from(told, done, done + looks * len(differing))
        done += len(differing)
        differing = _look_again(ctx, found, differing, looked)
    _judge(ctx, found, differing)
    return found


def _from(told: Tell, done: int, total: int) -> Callable[[int], None]:
    """Tells of as many nodes more than `done`."""
    return lambda more: told(done + more, total)


def _first_look(ctx: context.Context, found: Found, told: Tell) -> spool.Spool:
    walk = ctx.walk()
    differing, counts = spool.Spool(), plan.Counts()
    watched = _watched(ctx, walk, told)
    reader = ctx.reader(yields=True, met=_Met(differing))
    for change in beside.differences(watched, reader, ctx.mapping.buckets, counts):
        if not isinstance(change, plan.Extra):
            # Whether the keys are there at all is known at the next look.
            for write in change:
                differing.add(spool.Record(spool.DIFFERS, write.path))
        elif (path := _ours(ctx, change.key, found)) is not None:
            differing.add(spool.Record(spool.EXTRA, path))
        else:
            counts.present -= 1
    found.nodes, found.keys = counts.wanted, counts.present
    for path in walk.opaque_sample:
        found.cannot_read(path)
    found.unreadable = walk.opaque
    return differing


class _Met:
    """What is somebody else's is looked at again too."""

    def __init__(self, differing: spool.Spool) -> None:
        self._differing = differing

    def saw(self, paths: Sequence[bytes]) -> None:
        for path in paths:
            self._differing.add(spool.Record(spool.DIFFERS, path))

    def ended(self) -> None:
        """Nothing is known of an earlier time."""


def _watched(ctx: context.Context, walk: snapshot.Walk, told: Tell) -> Iterator[plan.Run]:
    """The walk, told of as it goes on."""
    shown = time.monotonic()
    running = course.Course(
        "full_sync",
        lambda: course.Seen(walk.read, walk.nodes),
        counting.keys(ctx),
        shown,
        ctx.ask_size,
    )
    for run in walk:
        if (now := time.monotonic()) - shown > _TOLD:
            shown = now
            running.look(now, "", ctx.log)
            told(*running.progress)
        yield run


def _ours(ctx: context.Context, key: bytes, found: Found) -> bytes | None:
    """The path of a key that only etcd has; None if it is foreign or excluded."""
    path = ctx.mapping.path(key)
    if path is None:
        found.foreign += 1
        if len(found.foreign_sample) < _SAMPLE:
            found.foreign_sample.append(tree.shown(key))
        return None
    return None if ctx.mapping.is_excluded(path) else path


def _look_again(
    ctx: context.Context, found: Found, before: spool.Spool, looked: Callable[[int], None]
) -> spool.Spool:
    """What of `before` differs now. `looked` is told of how many were looked at."""
    still, done = spool.Spool(), 0
    for chunk in _chunks(before, ctx.session.request_size.most):
        looked(done)
        done += len(chunk)
        theirs, strange = _in_etcd(ctx, [record.path for record in chunk])
        verdicts = confirm.read_again(ctx, [record.path for record in chunk])
        for record, there, verdict in zip(chunk, theirs, verdicts, strict=True):
            if isinstance(verdict.node, tree.Miss) and not confirm.is_absent(ctx, verdict.node):
                found.cannot_read(verdict.path)
                continue
            node = None if confirm.is_absent(ctx, verdict.node) else verdict.node
            kind = _kind(node, there)
            if record.path in strange:
                kind = None if node is None else spool.CONFLICT
            if kind is not None:
                revision = there.revision if there else 0
                moved = record.revision not in (spool.UNKNOWN, revision)
                still.add(spool.Record(kind, record.path, revision, moved))
    before.close()
    return still


def _kind(node: tree.Node | tree.Miss | None, there: wire.Present | None) -> str | None:
    """How the two differ; None: they are equal."""
    if isinstance(node, tree.Node):
        if there is None:
            return spool.MISSING
        return spool.DIFFERS if there.value != node.data else None
    return spool.EXTRA if there is not None else None


def _in_etcd(
    ctx: context.Context, paths: list[bytes]
) -> tuple[list[wire.Present | None], Collection[bytes]]:
    """What etcd has, and which of these paths have keys that are not ours."""
    keys = [ctx.mapping.key(path) for path in paths]
    if ctx.marks is None:
        return ctx.etcd.lookup(keys), ()
    found = list(looking.lookup(ctx.etcd, ctx.marks.base, keys))
    strange = {path for path, each in zip(paths, found, strict=True) if each.is_theirs}
    return [each.key for each in found], strange


def _judge(ctx: context.Context, found: Found, differing: spool.Spool) -> None:
    """Keep what counts as a difference; count the rest by what it is."""
    kept = _kept(ctx, differing)
    for record in differing:
        if record.moved:
            found.changing += 1
        elif record.kind == spool.EXTRA and ctx.config.sync.deletes == "never":
            found.kept += 1
        else:
            kind = spool.KEPT_LAST if record.path in kept else record.kind
            found.counts[kind] += 1
            found.records.add(record._replace(kind=kind))
    differing.close()


def _kept(ctx: context.Context, differing: spool.Spool) -> Collection[bytes]:
    """Those that a mirror keeps, each as the last of its folder; of very many nobody asks."""
    if not keeping.is_on(ctx) or len(differing) > _MOST_JUDGED:
        return ()
    extra = [each.path for each in differing if each.kind == spool.EXTRA and not each.moved]
    return {each.path for each in keeping.Keeping(ctx).of(extra)}


def _chunks(records: Iterable[spool.Record], most: int) -> Iterator[list[spool.Record]]:
    """Few enough for one request of at most so many bytes, also when their paths are long."""
    chunk: list[spool.Record] = []
    size = 0
    for record in records:
        cost = len(record.path) + pacing.OP_BYTES
        if len(chunk) == _CHUNK or (chunk and size + cost > most):
            yield chunk
            chunk, size = [], 0
        chunk.append(record)
        size += cost
    if chunk:
        yield chunk
