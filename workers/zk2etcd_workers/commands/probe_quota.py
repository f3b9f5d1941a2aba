"""What `check` says of etcd's quota: will a first sync fit?

ZooKeeper counts the nodes, and some are read to see how large they are. That is an estimate: the
first ones in the order of a walk stand for all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from zk2etcd import errors, messages, text
from zk2etcd_workers.commands import both_sides, finding, probe_etcd
from zk2etcd_workers.etcd import quota
from zk2etcd_workers.model import mapping, space
from zk2etcd_workers.ownership import records
from zk2etcd_workers.shard import context
from zk2etcd_workers.zookeeper.servers import protocol_choice

_SIDE = probe_etcd.SIDE
_SAMPLE_NODES = 2_000
_SAMPLE_BYTES = 4 * 1024 * 1024
_SAMPLE_SECONDS = 5.0
_MOST_EXCLUDED = 8
_ROOM = "raise etcd's --quota-backend-bytes, or exclude what need not be mirrored"


def facts(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> Iterator[finding.Fact]:
    """One, or none where etcd does not tell its quota.

    :raises errors.Zk2EtcdError: a connection broke off.
    """
    found = quota.ask(both.client.endpoint, both.settings.etcd)
    if found is None:
        return
    of = f"its quota of {text.size(found.quota)}"
    if found.stored >= found.quota:
        yield _SIDE.fail(
            f"it is full: {text.size(found.stored)} of {of} are taken",
            "compact and defragment it, raise --quota-backend-bytes, then `etcdctl alarm disarm`",
        )
        return
    try:
        coming = [_to_come(both, shard) for shard in _new(both, shards)]
    except errors.EtcdDenied:
        return  # said already
    to_come = sum(size or 0 for size in coming)
    much = f"about {text.size(to_come)}" if None not in coming else "an unknown size"
    said = f"{much} is to come, {text.size(found.free)} of {of} are free"
    if not space.fits(found, to_come):
        yield _SIDE.fail(said, _ROOM)
    elif space.is_close(found, to_come):
        yield _SIDE.note(
            said, "each change is stored too: compact it regularly, or raise the quota"
        )
    else:
        yield _SIDE.ok(said)


def _new(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> list[messages.Shard]:
    """One shard of each prefix that has not been mirrored yet, or has, but not by marks."""
    keys = records.Keys(both.settings.state.prefix)
    known = records.read_checkpoints(both.client, keys)

    def is_new(shard: messages.Shard) -> bool:
        if not known.get(keys.checkpoint(shard.id), 0):
            return True
        base = keys.owned(shard)
        return bool(base) and not both.client.range(base, keys_only=True).keys

    return [shard for shard in shards if shard.bucket == 0 and is_new(shard)]


def _to_come(both: both_sides.Sides, shard: messages.Shard) -> int | None:
    """Bytes that etcd lacks, of the whole prefix; None if nobody counts its nodes."""
    ctx = both.context(shard)
    seen, marked, whole = _sample(ctx)
    nodes = seen.nodes if whole else _count(both, shard)
    if nodes is None:
        return None
    to_come = seen.to_come(nodes - _present(both, ctx.mapping))
    return to_come if marked is None else to_come + marked.to_come(nodes - _present(both, ctx.ours))


def _present(both: both_sides.Sides, mapped: mapping.Mapping) -> int:
    start, end = mapped.below()
    below = both.client.range(start, end, count_only=True).total
    if mapped.target == start:
        return below
    return below + both.client.range(mapped.target, count_only=True).total


def _sample(ctx: context.Context) -> tuple[space.Seen, space.Seen | None, bool]:
    """The first nodes of a walk, of one bucket if there are several, and their marks; and whether
    it is all."""
    nodes = names = size = 0
    whole, until = ctx.shard.buckets == 1, time.monotonic() + _SAMPLE_SECONDS
    for run in ctx.walk():
        nodes += len(run.keys)
        names += sum(map(len, run.keys))
        size += sum(len(value or b"") for value in run.values)
        enough = nodes >= _SAMPLE_NODES or names + size >= _SAMPLE_BYTES
        if enough or time.monotonic() > until:
            whole = False
            break
    marked = None
    if ctx.marks is not None:
        marked = space.Seen(nodes, names + nodes * len(ctx.marks.base))
    return space.Seen(nodes, names + size), marked, whole


def _count(both: both_sides.Sides, shard: messages.Shard) -> int | None:
    """As ZooKeeper counts them, but a few excluded paths; None if it does not, or a pattern leaves
    out some, of which it cannot."""
    mapped = mapping.Mapping.of(shard)
    if mapped.leaves_out or mapped.only:
        return None
    nodes = [_below(both, path) for path in (mapped.source, *mapped.excluded[:_MOST_EXCLUDED])]
    known = [count for count in nodes if count is not None]
    return known[0] - sum(known[1:]) if len(known) == len(nodes) else None


def _below(both: both_sides.Sides, path: bytes) -> int | None:
    if both.session.protocol != protocol_choice.BULK:
        return None
    reply = both.ask(lambda sink: both.session.count(path, sink))
    return int(reply.results[0]) + 1 if reply.error is None else None
