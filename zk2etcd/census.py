"""Who mirrors below one state prefix, and what each has, as etcd said at one revision.

A worker of each supervisor reads it and sends it on, so that the supervisor needs no client of
etcd. It may be out of date by the time it is acted on: whatever is decided by it is compared in
etcd again, so a wrong one costs time, and never a second writer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Member:
    """A supervisor that is there. `shards` are the ids that its configuration has.

    `shares` False is one that takes whatever is free and gives nothing away (`cluster.mode:
    standby`, or a release that does not share): what it owns is its own, and nothing is meant for
    it. `draining`: it lets go of all it has, and ends. `healthy`: its session with ZooKeeper
    stands. `failing`: the shards that it has, or had lately, and could not mirror. `label`: its
    configured name, if it has one. Unlike `name` the next life has the same, and the same shards
    are meant for it. For people alone: `url`, where it says that it can be asked; `config`,
    which is the same where configurations mirror the same; its release.
    """

    name: str
    shards: frozenset[str] = frozenset()
    capacity: int = 1
    shares: bool = True
    draining: bool = False
    healthy: bool = True
    failing: frozenset[str] = frozenset()
    label: str = ""
    url: str = ""
    config: str = ""
    version: str = ""

    @property
    def takes(self) -> bool:
        """Whether shards may be meant for it at all."""
        return self.shares and not self.draining


@dataclasses.dataclass(frozen=True)
class Owner:
    """The member that has a shard, and its fencing token."""

    member: str
    token: int


@dataclasses.dataclass(frozen=True)
class Offer:
    """`giver`, who owns the shard, would let `taker` have it. `taken`: that one is ready for it.
    `revision` is the key's, which whoever changes it compares."""

    giver: str
    taker: str
    revision: int
    taken: bool = False


@dataclasses.dataclass(frozen=True)
class Census:
    """All three of one revision; owners and offers by shard."""

    revision: int
    members: Mapping[str, Member]
    owners: Mapping[str, Owner]
    offers: Mapping[str, Offer] = dataclasses.field(default_factory=dict)
