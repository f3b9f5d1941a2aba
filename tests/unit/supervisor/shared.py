"""Supervisors that share, their workers stood in for, and an etcd of a few dictionaries.

What a worker and the keeper would do is done at once, between two turns: so what is seen here is
what the supervisors decide, and what they tell their workers.
"""

from __future__ import annotations

import dataclasses
import math
import signal
from collections.abc import Iterable, Mapping
from typing import Any

from tests.unit import fakes, settings
from zk2etcd import acts, census, messages
from zk2etcd.view import published

TTL = 10.0


@dataclasses.dataclass
class Etcd:
    """Owners, members and offers, at one revision; `silent`: it does not answer the keepers."""

    revision: int = 100
    members: dict[str, census.Member] = dataclasses.field(default_factory=dict)
    owners: dict[str, census.Owner] = dataclasses.field(default_factory=dict)
    offers: dict[str, census.Offer] = dataclasses.field(default_factory=dict)
    silent: bool = False

    def census(self) -> census.Census:
        found = dict(self.members), dict(self.owners), dict(self.offers)
        return census.Census(self.revision, *found)

    def claim(self, shard: str, member: str) -> int:
        """The token, 0 if another has it. Who has it already puts no new one."""
        owner = self.owners.get(shard)
        if owner is None:
            self.revision += 1
            self.owners[shard] = owner = census.Owner(member, self.revision)
        return owner.token if owner.member == member else 0

    def release(self, shard: str, member: str) -> int:
        owner = self.owners.get(shard)
        if owner is not None and owner.member == member:
            self.revision += 1
            del self.owners[shard]
            self.offers.pop(shard, None)
        return self.revision

    def carry_out(self, member: str, act: acts.MakeOffer | acts.TakeOffer | acts.Withdraw) -> None:
        known = self.offers.get(act.shard)
        self.revision += 1
        match act:
            case acts.MakeOffer(shard, taker, token, since):
                newest = max((each.revision for each in self.offers.values()), default=0)
                if self.owners.get(shard) == census.Owner(member, token) and newest <= since:
                    self.offers[shard] = census.Offer(member, taker, self.revision)
            case acts.TakeOffer(shard, revision):
                if known is not None and known.revision == revision:
                    self.offers[shard] = census.Offer(known.giver, member, self.revision, True)
            case acts.Withdraw(shard, revision):
                if known is not None and known.revision == revision:
                    del self.offers[shard]

    def lease_ends(self, member: str) -> None:
        """All that hung on the leases of its workers is gone."""
        self.revision += 1
        self.members.pop(member, None)
        self.owners = {s: each for s, each in self.owners.items() if each.member != member}


class Peer(fakes.World):
    """One supervisor. `stuck`: its workers let go of nothing."""

    def __init__(self, name: str, etcd: Etcd, *prefixes: str, **cluster: Any) -> None:
        cluster = {"mode": "share", "capacity": 2, "move_after": 30, **cluster}
        sections = {"workers": {"count": 2}, "cluster": cluster, "state": {"lease_ttl": TTL}}
        self.etcd = etcd
        self.stuck = False
        self._had: dict[str, set[str]] = {}
        self._done: dict[int, int] = {}
        super().__init__(settings.configured(prefixes, **sections), instance=name)

    @property
    def mine(self) -> set[str]:
        return {s for s, owner in self.etcd.owners.items() if owner.member == self.instance}

    @property
    def keeper(self) -> fakes.Child:
        return self.live()["w0"]

    def works(self) -> None:
        """Its workers do what they were told, and say so."""
        for slot, child in self.live().items():
            if child.sent(messages.Drain):
                self._ends(slot, child)
                continue
            had = self._had.setdefault(slot, set())
            gone = set() if self.stuck else had - {*child.shards}
            child.let_go = {shard: self.etcd.release(shard, self.instance) for shard in gone}
            had -= gone
            for shard in child.shards:
                had.add(shard)
                child.details[shard] = self._mirrors(shard)
            child.held = tuple(had)
            child.report()
        self.keeps()

    def keeps(self) -> None:
        """What the keeper does: put our key, carry out offers, and tell who is there."""
        child = self.live().get("w0")
        if child is None or self.etcd.silent or child.assign is None:
            return
        standing = child.sent(messages.Standing)
        if standing and isinstance(last := standing[-1], messages.Standing):
            if self.etcd.members.get(self.instance) != last.member:
                self.etcd.revision += 1
            self.etcd.members[self.instance] = last.member
        offers = child.sent(messages.Offers)
        for message in offers[self._done.get(id(child), 0) :]:
            assert isinstance(message, messages.Offers)
            for act in message.wanted:
                self.etcd.carry_out(self.instance, act)
        self._done[id(child)] = len(offers)
        told = messages.Gathered(self.etcd.census(), 0.0, child.assign.generation)
        child.channel.incoming.append(told)

    def dies(self) -> None:
        """As by SIGKILL: nothing of it does anything from now on."""
        for child in self.live().values():
            child.code = -signal.SIGKILL

    def _ends(self, slot: str, child: fakes.Child) -> None:
        had = self._had.pop(slot, set())
        child.let_go = {shard: self.etcd.release(shard, self.instance) for shard in had}
        child.held = ()
        child.report()
        child.code = 0
        if slot == "w0":
            self.etcd.revision += 1
            self.etcd.members.pop(self.instance, None)

    def _mirrors(self, shard: str) -> messages.ShardReport:
        token = self.etcd.claim(shard, self.instance)
        if token:
            return fakes.follows(shard, token=token)
        holder = self.etcd.owners[shard].member
        return messages.ShardReport(shard, "waiting", holder=f"{holder}/w0.1")


def pass_time(
    peers: Iterable[Peer], seconds: float, step: float = 0.1
) -> dict[str, published.View]:
    """Time passes for all of them alike; the last view of each."""
    views: dict[str, published.View] = {}
    for _ in range(math.ceil(seconds / step)):
        for peer in peers:
            views[peer.instance] = peer.turn(seconds=step)
            peer.works()
    return views


def shard(path: str) -> str:
    return messages.shard_id(path, path)


def shown(view: published.View) -> Mapping[str, messages.ShardReport]:
    return {each.id: each.report for each in view.shards}
