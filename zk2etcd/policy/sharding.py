"""Prefixes -> shards -> worker slots: pure, and stable over restarts and reloads.

Rendezvous hashing alone loads slots unevenly, and a plain round robin moves everything when one
prefix comes or goes. So each slot takes at most its fair share, a shard goes to the slot of
highest weight that has room, and what is placed already stays as long as that share allows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from zk2etcd import messages, patterns
from zk2etcd.config import models


def shards(cfg: models.Config) -> tuple[messages.Shard, ...]:
    """Every shard of the configuration, in its order, the buckets of a prefix side by side."""
    return tuple(
        messages.Shard(
            id=messages.shard_id(prefix.from_, prefix.to, bucket, prefix.buckets),
            source=prefix.from_,
            target=prefix.to,
            exclude=_excluded(prefix.from_, (*cfg.sync.exclude, *prefix.exclude)),
            bucket=bucket,
            buckets=prefix.buckets,
            only=tuple(sorted(set(prefix.only))),
            ownership=cfg.sync.ownership,
        )
        for prefix in cfg.sync.prefixes
        for bucket in range(prefix.buckets)
    )


def slots(cfg: models.Config, usable: Callable[[], int]) -> tuple[str, ...]:
    """The names of the worker slots: w0, w1, ...; `usable` CPUs are asked for by "auto" only."""
    return tuple(f"w{index}" for index in range(cfg.workers.number(usable)))


def assign(
    ids: Iterable[str], slot_names: Sequence[str], current: Mapping[str, str], least: int = 0
) -> dict[str, str]:
    """Shard id -> slot, at most ceil(shards/slots) a slot, or `least`.

    `current` assignments that respect that bound stay; of an overfull slot those of highest
    weight do. The result depends on the sets alone, not on their order.
    """
    wanted = sorted(set(ids))
    bound = max(least, -(-len(wanted) // len(slot_names)))
    kept = _kept(wanted, slot_names, current, bound)
    load = {slot: sum(1 for other in kept.values() if other == slot) for slot in slot_names}
    for shard in wanted:
        if shard not in kept:
            free = [slot for slot in slot_names if load[slot] < bound]
            kept[shard] = max(free, key=lambda slot: (_weight(shard, slot), slot))
            load[kept[shard]] += 1
    return {shard: kept[shard] for shard in wanted}


def _kept(
    wanted: Sequence[str], slot_names: Sequence[str], current: Mapping[str, str], bound: int
) -> dict[str, str]:
    kept: dict[str, str] = {}
    for slot in slot_names:
        here = [shard for shard in wanted if current.get(shard) == slot]
        here.sort(key=lambda shard: (_weight(shard, slot), shard), reverse=True)
        kept.update(dict.fromkeys(here[:bound], slot))
    return kept


def _weight(shard: str, slot: str) -> bytes:
    """blake2 and not `hash()`, which differs from process to process."""
    return hashlib.blake2b(f"{slot}\0{shard}".encode(), digest_size=8).digest()


def _excluded(source: str, excludes: Iterable[str]) -> tuple[str, ...]:
    """What of `excludes` concerns this source: those that may leave out something at or below it.

    One that leaves out the source, or what is above it, becomes the source itself.
    """
    mine = set()
    for pattern in excludes:
        if patterns.Matcher([pattern])(source.encode()):
            mine.add(patterns.escaped(source))
        elif patterns.concerns(pattern, source):
            mine.add(pattern)
    return tuple(sorted(mine))
