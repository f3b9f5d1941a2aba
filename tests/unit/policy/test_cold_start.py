"""Many members that start within a moment, by their real steps and a clock of the test's own: what
they share out, how soon, and how many claims are void since another came first.

An etcd that takes a claim after 8 ms compares that no owner has changed since the look, as the real
one does; who was overtaken looks again. News take 60 to 110 ms, and 3 more for each member.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import heapq
import itertools
import random
from collections.abc import Callable

import pytest

from zk2etcd import acts, census
from zk2etcd.policy import claiming, sharing, situation

CLAIM, NEWS, NEWS_EACH, JITTER, SENT = 0.008, 0.06, 0.003, 0.05, 0.03
RULES = situation.Rules()


@dataclasses.dataclass
class Node:
    name: str
    memory: situation.Memory = dataclasses.field(default_factory=situation.Memory)
    hand: dict[str, int] = dataclasses.field(default_factory=dict)
    seen: census.Census | None = None
    revision: int = 0
    is_due: bool = False
    """News are on their way."""
    claims: int = 0


class World:
    """All events in their order; `changed` is the last owner's moment."""

    def __init__(self, members: int, shards: int, spread: float) -> None:
        self._random = random.Random(members * shards)
        self._shards = frozenset(f"s{number}-{number:08x}" for number in range(shards))
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = itertools.count()
        self._revision, self._owned_at = 100, 100
        self._members: dict[str, census.Member] = {}
        self.owners: dict[str, census.Owner] = {}
        self.changed = 0.0
        self.nodes = [Node(f"m{number:02}") for number in range(members)]
        for node in self.nodes:
            self._at(self._random.uniform(0.0, spread), functools.partial(self._joins, node))

    def run(self) -> None:
        while self._events and len(self.owners) != len(self._shards):
            now, _, event = heapq.heappop(self._events)
            assert now < 20.0, f"only {len(self.owners)} are owned"
            event(now)

    def _at(self, when: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._numbers), event))

    def _joins(self, node: Node, now: float) -> None:
        self._revision += 1
        self._members[node.name] = census.Member(node.name, self._shards, 2)
        self._news(now)

    def _news(self, now: float) -> None:
        for node in self.nodes:
            if node.name in self._members and not node.is_due:
                node.is_due = True
                soonest = now + NEWS + NEWS_EACH * len(self._members)
                later = soonest + self._random.uniform(0.0, JITTER)
                self._at(later, functools.partial(self._hears, node))

    def _hears(self, node: Node, now: float) -> None:
        node.is_due = False
        node.seen = census.Census(self._revision, dict(self._members), dict(self.owners))
        self._steps(node, now)

    def _steps(self, node: Node, now: float) -> None:
        assert node.seen is not None
        own = situation.Own(node.name, self._shards, now, dict(node.hand), revision=node.revision)
        found = sharing.step(node.memory, node.seen, own, RULES, now)
        node.memory = found.memory
        for act in found.acts:
            if isinstance(act, acts.Claim) and (
                new := [s for s in act.shards if s not in node.hand]
            ):
                node.hand.update(dict.fromkeys(new, 0))
                self._at(now + SENT, functools.partial(self._claims, node, new))
        if found.wakes_at is not None:
            self._at(max(now + 0.001, found.wakes_at), functools.partial(self._steps, node))

    def _claims(self, node: Node, shards: list[str], now: float) -> None:
        node.claims += 1
        known = self._owned_at
        self._at(now + CLAIM, functools.partial(self._txn, node, shards, known))

    def _txn(self, node: Node, shards: list[str], known: int, now: float) -> None:
        if known != self._owned_at:
            self._claims(node, shards, now)
            return
        self._revision += 1
        for shard in shards:
            if shard in self.owners:
                del node.hand[shard]
                continue
            self.owners[shard] = census.Owner(node.name, self._revision)
            node.hand[shard] = node.revision = self._owned_at = self._revision
            self.changed = now
        self._news(now)


def run(members: int, shards: int, spread: float = 0.1) -> World:
    world = World(members, shards, spread)
    world.run()
    parts = collections.Counter(owner.member for owner in world.owners.values())
    assert set(parts.values()) == {shards // members}
    return world


@pytest.mark.parametrize("members", [8, 24])
def test_many_that_start_together_are_settled_soon_and_with_few_claims(members: int) -> None:
    world = run(members, 3 * members)
    assert world.changed < 2.5
    claims = [node.claims for node in world.nodes]
    assert max(claims) <= 3
    assert sum(claims) <= 1.5 * members


def test_where_those_behind_are_due_as_soon_as_others_have_claimed_they_void_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the queue is for."""
    monkeypatch.setattr(claiming, "_queue", _without_those_who_have_claimed)
    world = run(24, 72)
    assert sum(node.claims for node in world.nodes) > 1.5 * 24


def _without_those_who_have_claimed(now: situation.Situation) -> tuple[str, ...]:
    free = now.memory.unowned.keys() & now.placed.meant.keys()
    return tuple(sorted({now.placed.meant[shard] for shard in free}))
