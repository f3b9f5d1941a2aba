"""Shards -> members: which supervisor shall have which shard. Pure, and the same at each of them.

Nobody is asked for it and nobody says it: each member works it out from the same census, and they
agree where that is the same. Rendezvous hashing with a bound, as for the slots of one supervisor
(`sharding`), with two differences. Members have capacities, and may not know every shard. And the
bound is each one's exact part, not the same ceiling for all: with a ceiling alone some could be
full and others empty, and a member that joins would move more than its own part.

The parts are dealt out by Adams' rule: a shard at a time to whom it burdens least. So nobody gets
more than their share rounded up; and when a member comes nobody's part grows, when one goes
nobody's shrinks. What is placed stays, unless its member has more than its part.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from zk2etcd import census

Members = Sequence[census.Member]


class Placement(NamedTuple):
    """`meant`: shard -> member, without the shards that nobody can have; of those that are placed
    already, others than now where their member has too many. `parts`: how many are each one's."""

    meant: Mapping[str, str]
    parts: Mapping[str, int]


def place(members: Iterable[census.Member], current: Mapping[str, str]) -> Placement:
    """:param current: shard -> member, of those that somebody has.

    A member that is not healthy keeps what it has and gets nothing, unless none is.
    """
    return _place(_takers(members), frozenset(current.items()))


@functools.lru_cache(maxsize=4)  # who looks again, and nothing has changed
def _place(takers: tuple[census.Member, ...], has: frozenset[tuple[str, str]]) -> Placement:
    current = dict(has)
    order = _ranking(takers)
    able, by_name = order.able, order.by_name
    meant = {
        shard: name
        for shard in able
        if (name := current.get(shard, "")) in by_name and shard in by_name[name].shards
    }
    parts = _parts(takers, len(able), Counter(meant.values()))
    _fill(meant, parts, order)
    while (load := Counter(meant.values())) != parts:
        # Comes to an end: each move makes the burden more even.
        parts = _parts(takers, len(able), load)
        if not _even_out(meant, parts, order):
            break
    return Placement(meant, parts)


def known(members: Iterable[census.Member]) -> Sequence[str]:
    """The shards that at least one of these members has, in their order."""
    return _union(frozenset(member.shards for member in members))


@functools.lru_cache(maxsize=4)
def _union(sets: frozenset[frozenset[str]]) -> Sequence[str]:
    return sorted(frozenset[str]().union(*sets))


def share(member: census.Member, members: Iterable[census.Member]) -> int:
    """What is at most a member's by its capacity: its part of all shards, rounded up."""
    takers = [each for each in members if each.takes]
    total = sum(each.capacity for each in takers) or member.capacity
    return -(-len(known(takers)) * member.capacity // total)


class Ranking:
    """Who is `able` to have each shard, those first that the fewest can have; and who would get it
    while it has nobody, the one of highest weight first. Worked out once for each, since a look
    asks for all of them, and members change more seldom than owners."""

    def __init__(self, takers: Members) -> None:
        able = {s: tuple(m for m in takers if s in m.shards) for s in known(takers)}
        self.able = dict(sorted(able.items(), key=lambda each: len(each[1])))
        self.by_name = {each.name: each for each in takers}
        self._orders: dict[str, Sequence[str]] = {}
        self._places: dict[str, Mapping[str, int]] = {}

    def of(self, shard: str) -> Sequence[str]:
        if (known := self._orders.get(shard)) is None:
            known = self._orders[shard] = self._order(shard)
        return known

    def places(self, shard: str) -> Mapping[str, int]:
        """The place of each in that order, from 0."""
        if (known := self._places.get(shard)) is None:
            names = self.of(shard)
            known = self._places[shard] = dict(zip(names, range(len(names)), strict=True))
        return known

    def _order(self, shard: str) -> Sequence[str]:
        able = _healthy(self.able.get(shard, ()))
        best = [each for each in able if shard not in each.failing] or able
        best.sort(key=lambda each: (_weight(shard, each), each.name), reverse=True)
        return [each.name for each in best]


def ranking(members: Iterable[census.Member]) -> Ranking:
    """Of those among these who take shards: the same one for the same members."""
    return _ranking(_takers(members))


@functools.lru_cache(maxsize=4)
def _ranking(takers: tuple[census.Member, ...]) -> Ranking:
    return Ranking(takers)


def _takers(members: Iterable[census.Member]) -> tuple[census.Member, ...]:
    return tuple(sorted((each for each in members if each.takes), key=lambda each: each.name))


def _healthy(takers: Members) -> list[census.Member]:
    """Only they get what is new to them; where nobody is healthy, nobody is worse than others."""
    return [each for each in takers if each.healthy] or list(takers)


@functools.lru_cache(maxsize=65536)
def weight(shard: str, member: str) -> bytes:
    """blake2 and not `hash()`, which differs from process to process."""
    return hashlib.blake2b(f"{member}\0{shard}".encode(), digest_size=8).digest()


def _weight(shard: str, member: census.Member) -> bytes:
    return weight(shard, member.label or member.name)


def _parts(takers: Members, shards: int, has: Mapping[str, int]) -> dict[str, int]:
    """How many shards are each one's. Among equals the next goes to whoever has more already, so
    that nothing moves for nothing."""
    getting = {each.name for each in _healthy(takers)}
    parts = {each.name: 0 if each.name in getting else has[each.name] for each in takers}
    left = shards - sum(parts.values())
    left -= _dealt_at_once(takers, getting, left, parts)
    heap = [
        (parts[name] / each.capacity, parts[name] - has[name], -each.capacity, name, each)
        for each in takers
        if (name := each.name) in getting and each.shards
    ]
    heapq.heapify(heap)
    while left > 0 and heap:
        *_, name, member = heapq.heappop(heap)
        parts[name] += 1
        left -= 1
        if parts[name] < len(member.shards):
            burden = parts[name] / member.capacity
            heapq.heappush(heap, (burden, parts[name] - has[name], -member.capacity, name, member))
    return parts


def _dealt_at_once(
    takers: Members, getting: Collection[str], left: int, parts: dict[str, int]
) -> int:
    """Where all can have as many, each of them gets as many rounds as are full: so many in all."""
    those = [each for each in takers if each.name in getting]
    rounds = left // len(those) if those else 0
    alike = len({each.capacity for each in those}) == 1
    if rounds < 1 or not alike or any(len(each.shards) <= rounds for each in those):
        return 0
    parts.update({each.name: rounds for each in those})
    return rounds * len(those)


def _fill(
    meant: dict[str, str],
    parts: Mapping[str, int],
    order: Ranking,
) -> None:
    """Place the rest, in the order of `able`. Where all who can are full, as when members'
    configurations differ, the least burdened gets it."""
    load, able = Counter(meant.values()), order.able
    for shard in able:
        if shard in meant:
            continue
        names = order.of(shard)
        chosen = next((name for name in names if load[name] < parts[name]), None)
        if chosen is None:
            capacity = {each.name: each.capacity for each in able[shard]}
            burden = {name: load[name] / capacity[name] for name in names}
            chosen = min(names, key=lambda name: burden[name])
        meant[shard] = chosen
        load[chosen] += 1


def _even_out(
    meant: dict[str, str],
    parts: Mapping[str, int],
    order: Ranking,
) -> bool:
    """Take from those who have too many, the shards of lowest weight first, what others have room
    for; whether anything was."""
    load = Counter(meant.values())
    over = [shard for shard, name in meant.items() if load[name] > parts[name]]
    over.sort(key=lambda shard: (_weight(shard, order.by_name[meant[shard]]), shard))
    changed = False
    for shard in over:
        name = meant[shard]
        if load[name] <= parts[name]:
            continue
        free = next((each for each in order.of(shard) if load[each] < parts[each]), None)
        if free is not None:
            meant[shard], changed = free, True
            load[name] -= 1
            load[free] += 1
    return changed
