"""May these deletes happen? Pure: thresholds and counts in, a reason or None out.

The guard concerns what a walk finds missing in ZooKeeper. A wiped or half-restored ensemble looks
just like a mass delete, and an operator can tell them apart; we cannot.
"""

from __future__ import annotations

import dataclasses

from zk2etcd.config import mirroring


@dataclasses.dataclass(frozen=True)
class Walk:
    """What a base or full sync found. `present` counts keys before the walk, `deletes` those of
    them that ZooKeeper confirmed absent. `first`: the shard never finished a sync before.
    `replaced`: how many of the deletes are made good by new nodes in the same places
    (`turnover`)."""

    deletes: int
    present: int
    first: bool
    root_missing: bool
    replaced: int = 0

    @property
    def lost(self) -> int:
        """The net loss, which the thresholds judge."""
        return self.deletes - self.replaced


def share(limits: mirroring.DeleteGuard, buckets: int) -> mirroring.DeleteGuard:
    """The limits of one bucket, which knows nothing of the others: its part of those of the
    prefix, or as many times as much could go unseen as there are buckets."""
    if buckets == 1:
        return limits
    parts: dict[str, object] = {
        "min_deletes": limits.min_deletes // buckets,
        "max_deletes": limits.max_deletes // buckets,
    }
    if (live := limits.live) is not None:
        parts["live"] = live.model_copy(update={"min_deletes": live.min_deletes // buckets})
    return limits.model_copy(update=parts)


def trips(walk: Walk, limits: mirroring.DeleteGuard) -> str | None:
    """Why these deletes must wait for a person, or None if they may happen."""
    if walk.deletes == 0:
        return None
    return _odd(walk, limits) or _too_many(walk, limits)


def _odd(walk: Walk, limits: mirroring.DeleteGuard) -> str | None:
    if walk.first and limits.first_sync == "hold":
        return "first sync: keys were in etcd before zk2etcd, and ZooKeeper does not have them"
    if walk.root_missing:
        return "the prefix's root node is missing in ZooKeeper while etcd has keys"
    return None


def _too_many(walk: Walk, limits: mirroring.DeleteGuard) -> str | None:
    lost, ratio = walk.lost, walk.lost / max(walk.present, 1)
    what = "keys would go" if not walk.replaced else "keys would go, with none in their place"
    if lost > limits.max_deletes:
        return f"more than max_deletes ({limits.max_deletes}) {what}"
    if lost > limits.min_deletes and ratio > limits.max_ratio:
        return f"{ratio:.0%} of the {what} (max_ratio {limits.max_ratio:.0%})"
    if lost >= 10 and ratio >= 0.9:
        return f"{ratio:.0%} of the {what}"
    return None
