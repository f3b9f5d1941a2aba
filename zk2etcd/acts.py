"""What a supervisor may do about shards that it shares with others. Plain values.

Each is carried out by a worker, in one Txn that compares what it was decided by: a decision that
was overtaken comes to nothing, and the next one is made by a newer census.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Claim:
    """Take these from now on, all at once. Each is compared to have no owner but ourselves; one
    that fails is tried again for as long as it is in hand."""

    shards: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Drop:
    """Claim this one no more; should the claim have been done after all, let go of it."""

    shard: str


@dataclasses.dataclass(frozen=True)
class MakeOffer:
    """Put an offer of this shard, if `token` is its owner's still and no offer was put or changed
    after `revision`: over all members no more are under way than may be."""

    shard: str
    taker: str
    token: int
    revision: int


@dataclasses.dataclass(frozen=True)
class TakeOffer:
    """Say that we are ready for it, if the offer is of that revision still."""

    shard: str
    revision: int


@dataclasses.dataclass(frozen=True)
class Withdraw:
    """Delete our offer, if it is of that revision still."""

    shard: str
    revision: int


@dataclasses.dataclass(frozen=True)
class Drain:
    """Stop mirroring this shard, and settle or abandon its writes. Often said again: it is a
    state, not an event."""

    shard: str


@dataclasses.dataclass(frozen=True)
class Release:
    """It is drained: delete its owner key and its offer in one Txn, if the token is that."""

    shard: str
    token: int


Act = Claim | Drop | MakeOffer | TakeOffer | Withdraw | Drain | Release
