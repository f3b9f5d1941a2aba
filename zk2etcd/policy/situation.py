"""What a supervisor goes by when it shares shards with others: the census, itself, and the past.

etcd tells who has what, and not since when. So each member remembers since when it has seen
things as they are, by its own clock; nobody relies on what another one remembers.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping

from zk2etcd import census
from zk2etcd.policy import placement


@dataclasses.dataclass(frozen=True)
class Rules:
    """Times in seconds. `ttl`: of the workers' leases. `stagger`: between members who would claim
    at the same moment, since a claim voids those under way. `settle`: how long members that come
    together have for it before shards are shared out among them; `alone`: the same, while there is
    one, and it is about no more than `few`. `forming`: for so long after its
    start a member gives away at once what it has too many of; `move_after` is for what has been
    mirrored for a while. `rest`, at least and at most: how long a member leaves a shard alone that
    it could not mirror; `shun`: how long it offers nothing to one that hesitated."""

    ttl: float = 10.0
    move_after: float = 300.0
    moves: int = 2
    settle: float = 1.0
    alone: float = 0.3
    few: int = 16
    stagger: float = 0.025
    forming: float = 20.0
    error_after: float = 30.0
    rest: tuple[float, float] = (60.0, 3600.0)
    shun: tuple[float, float] = (60.0, 600.0)

    @property
    def rank_after(self) -> float:
        """What each rank waits longer than the one before it."""
        return self.ttl / 10

    @property
    def patience(self) -> float:
        """One who has just said that it is ready for a shard has so long to claim it."""
        return self.ttl / 2

    @property
    def anyone_after(self) -> float:
        """A shard without an owner for so long is anyone's, whatever else they have."""
        return 2 * self.ttl


@dataclasses.dataclass(frozen=True)
class Own:
    """This supervisor. `shards` are its configuration's.

    `hand`: those that its workers have, or are told to take, with the token if they have it, else
    0; out of it only once etcd has said that the owner key is not ours any more. `drained` are
    those of them that are written no more, though the owner key may be there still. `failing`:
    since when shards are in error (monotonic); `trying` are those of them whose next attempt is at
    work: that is not broken off. `seen_at`: the moment that the census speaks of.
    `revision`: of etcd's last answer to an act of ours; a census from before says nothing new.
    `asked`: of these a person has asked for something that is not done yet, and would not be by
    another owner: they stay so long.
    """

    name: str
    shards: frozenset[str]
    seen_at: float
    hand: Mapping[str, int] = dataclasses.field(default_factory=dict)
    drained: frozenset[str] = frozenset()
    failing: Mapping[str, float] = dataclasses.field(default_factory=dict)
    draining: bool = False
    revision: int = 0
    trying: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class Rest:
    """Leave something alone until then; `length` is how long that is, to be doubled next time."""

    until: float
    length: float


@dataclasses.dataclass(frozen=True)
class Memory:
    """From one look to the next; times are monotonic.

    `unowned`, `owned`: since when a shard of ours has nobody, or us. `cold`: nobody has had it
    since we are there. `offered`: since when an offer
    stands, by shard, giver and taker. `promised`: to whom a shard was last offered, until it has an
    owner without an offer. `leaving`: what is drained and released, whatever changes meanwhile.
    `queue`: those for whom shards without an owner were meant, in the order in which they claim
    them; until all have one. `resting`: shards that we could not mirror. `shunned`: members that
    did not take what was offered, or did and then did not claim it; one that was gone is another
    when it comes back. `began`: the first look of all.
    """

    unowned: Mapping[str, float] = dataclasses.field(default_factory=dict)
    owned: Mapping[str, float] = dataclasses.field(default_factory=dict)
    cold: frozenset[str] = frozenset()
    offered: Mapping[tuple[str, str, str], float] = dataclasses.field(default_factory=dict)
    promised: Mapping[str, str] = dataclasses.field(default_factory=dict)
    began: float | None = None
    names: frozenset[str] = frozenset()
    joined_at: float = 0.0
    leaving: frozenset[str] = frozenset()
    queue: tuple[str, ...] = ()
    resting: Mapping[str, Rest] = dataclasses.field(default_factory=dict)
    shunned: Mapping[str, Rest] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Situation:
    """All that a decision is made of."""

    seen: census.Census
    own: Own
    memory: Memory
    rules: Rules
    now: float

    @property
    def me(self) -> census.Member | None:
        """As the others see us; None while our key is not there."""
        return self.seen.members.get(self.own.name)

    def is_ours(self, shard: str) -> bool:
        owner = self.seen.owners.get(shard)
        return owner is not None and owner.member == self.own.name

    @property
    def is_old(self) -> bool:
        """The census is no ground for anything new."""
        late = self.now - self.own.seen_at > self.rules.ttl
        return late or self.seen.revision < self.own.revision

    @property
    def told_at(self) -> float:
        """Up to when others were seen: whoever is cut off from etcd himself blames nobody."""
        return min(self.now, self.own.seen_at)

    def is_anothers(self, shard: str) -> bool:
        """And not only because the census is from before we took it."""
        owner = self.seen.owners.get(shard)
        token = self.own.hand.get(shard, 0)
        return owner is not None and owner.member != self.own.name and token <= self.seen.revision

    def since(self, shard: str, offer: census.Offer) -> float:
        return self.memory.offered.get((shard, offer.giver, offer.taker), self.now)

    def moving(self) -> dict[str, census.Offer]:
        """The offers that count as under way: an older one is of a member that is stuck."""
        oldest = self.now - 2 * self.rules.ttl
        offers = self.seen.offers.items()
        return {shard: each for shard, each in offers if self.since(shard, each) >= oldest}

    @functools.cached_property
    def current(self) -> dict[str, str]:
        """Who has each shard, or has it as good as in hand: it was offered to them, they said they
        would take it, or they are ourselves and claim it."""
        at = {shard: owner.member for shard, owner in self.seen.owners.items()}
        at.update({shard: each.taker for shard, each in self.moving().items() if shard in at})
        promised = self.memory.promised.items()
        free = {shard: taker for shard, taker in promised if shard in self.memory.unowned}
        ours = dict.fromkeys((s for s in self.own.hand if s not in at), self.own.name)
        return {**free, **ours, **at}

    @functools.cached_property
    def load(self) -> Mapping[str, int]:
        return Counter(self.current.values())

    @functools.cached_property
    def ranking(self) -> placement.Ranking:
        return placement.ranking(self.seen.members.values())

    @functools.cached_property
    def placed(self) -> placement.Placement:
        return placement.place(self.seen.members.values(), self.current)


def remembered(before: Memory, seen: census.Census, own: Own, now: float) -> Memory:
    """What is known after this look."""
    owners, names = seen.owners, frozenset(seen.members)
    offers = {(shard, each.giver, each.taker) for shard, each in seen.offers.items()}
    ours = [shard for shard, owner in owners.items() if owner.member == own.name]
    promised = {s: t for s, t in before.promised.items() if s not in owners and t in names}
    promised.update({shard: each.taker for shard, each in seen.offers.items()})
    unowned = {s: before.unowned.get(s, now) for s in own.shards if s not in owners}
    return dataclasses.replace(
        before,
        unowned=unowned,
        cold=frozenset(unowned) if before.began is None else before.cold & unowned.keys(),
        owned={shard: before.owned.get(shard, now) for shard in ours},
        offered={each: before.offered.get(each, now) for each in offers},
        promised=promised,
        began=now if before.began is None else before.began,
        names=names,
        joined_at=now if names - before.names else before.joined_at,
        leaving=frozenset(s for s in before.leaving if s in own.hand or s in ours),
        resting=_kept(before.resting, now),
        shunned={n: each for n, each in _kept(before.shunned, now).items() if n in names},
    )


def rested(
    rests: Mapping[str, Rest], which: str, lengths: tuple[float, float], now: float
) -> dict[str, Rest]:
    """With another one for this: twice as long as the last, within these lengths."""
    shortest, longest = lengths
    last = rests.get(which)
    length = shortest if last is None else min(2 * last.length, longest)
    return {**rests, which: Rest(now + length, length)}


def rests(rests_: Mapping[str, Rest], which: str, now: float) -> bool:
    return which in rests_ and now < rests_[which].until


def _kept(rests_: Mapping[str, Rest], now: float) -> dict[str, Rest]:
    """A rest is remembered for twice its length after it: then what follows is another matter."""
    return {which: each for which, each in rests_.items() if now < each.until + 2 * each.length}
