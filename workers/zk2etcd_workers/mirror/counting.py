"""How many keys etcd's range of a shard holds; whether they may be read at once, being few."""

from __future__ import annotations

from collections.abc import Sequence

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import few as few_keys, kept as kept_keys
from zk2etcd_workers.shard import context
from zk2etcd_workers.walk import etcd_keys


def known(ctx: context.Context, kept: kept_keys.Kept | None) -> int:
    """The same, if it was counted when the shard was taken: nobody else may write there since."""
    if kept is not None and kept.total is not None:
        return kept.total
    return keys(ctx)


def keys(ctx: context.Context) -> int:
    """How many there are now: without excluded ones, with foreign ones."""
    mapped = ctx.ours
    if mapped.buckets > 1:
        return ctx.count()
    if mapped.by_name:
        return etcd_keys.number(ctx.etcd, mapped, ctx.turn.pause)
    whole = _counts(mapped.target, mapped.below())
    excluded = [_counts(mapped.key(path), mapped.below_path(path)) for path in mapped.excluded]
    found = ctx.reads.all([*whole, *(each for ranges in excluded for each in ranges)])
    totals = [each.total for each in found]
    return sum(totals[: len(whole)]) - sum(totals[len(whole) :])


def _counts(key: bytes, below: tuple[bytes, bytes]) -> Sequence[wire.Range]:
    """What counts a key and those below it."""
    ranges = [wire.Range(*below, count_only=True)]
    return ranges if below[0] == key else [*ranges, wire.Range(key, count_only=True)]


def after(total: int, put: int) -> int | None:
    """How many there are after so many puts; None if that is not certain: old and new ones are told
    apart only where there were none."""
    return None if total and put else total + put


def few(ctx: context.Context, total: int) -> few_keys.Few | None:
    """If `total` is all keys in its range, and nobody bounds how fast they are read."""
    mapped, metered = ctx.mapping, ctx.config.etcd.max_reads_per_second
    if mapped.narrows or metered is not None or ctx.marks is not None:
        return None
    return few_keys.Few(ctx.reads, mapped, total)
