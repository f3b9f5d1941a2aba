"""Why shards came to a supervisor that shares: what can be told of it from one census to the next.

Who takes a shard counts it. Nobody says why it was let go of, or whether its owner died: so that is
worked out of what the former owner's key said last. What a census has skipped is taken for a loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal, get_args

from zk2etcd import census

Reason = Literal["balance", "loss", "error", "stop"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclasses.dataclass(frozen=True)
class Moves:
    """How many shards came, by reason; `left` are those that nobody has yet, and why."""

    counts: Mapping[str, int] = dataclasses.field(default_factory=lambda: dict.fromkeys(REASONS, 0))
    left: Mapping[str, Reason] = dataclasses.field(default_factory=dict)


def seen(before: Moves, old: census.Census | None, new: census.Census, us: str) -> Moves:
    """After another census. What we find unowned at our first look is no move."""
    if old is None or old.owners == new.owners:
        return before
    left, counts = dict(before.left), dict(before.counts)
    for shard, owner in old.owners.items():
        if owner.member != us and not _has(new, shard, owner.member):
            left[shard] = _why(shard, owner.member, old, new)
    for shard in [shard for shard in left if shard in new.owners]:
        why = left.pop(shard)
        if new.owners[shard].member == us:
            counts[why] += 1
    return Moves(counts, left)


def _has(found: census.Census, shard: str, member: str) -> bool:
    owner = found.owners.get(shard)
    return owner is not None and owner.member == member


def _why(shard: str, who: str, old: census.Census, new: census.Census) -> Reason:
    offer = old.offers.get(shard)
    if offer is not None and offer.giver != who:
        offer = None
    if offer is not None and offer.taken:
        return "balance"
    last = new.members.get(who) or old.members.get(who)
    if last is not None and last.draining:
        return "stop"
    if who not in new.members:
        return "loss"
    if offer is not None:  # that it was taken, too, came with its being let go of
        return "balance"
    said = (found.members.get(who) for found in (old, new))
    return "error" if any(each and shard in each.failing for each in said) else "loss"
