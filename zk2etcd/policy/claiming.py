"""When it is our turn to claim a shard that nobody has.

Whoever it is meant for claims at once. The others do not know that one to be well, only that its
lease has not ended: so each waits a little longer than the one before, and after a while anybody
may. Who has just said that it is ready for a shard is given more time. Nobody has to be asked, and
no shard waits for one member.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from zk2etcd import acts, census
from zk2etcd.policy import placement, situation

_COLD = 3
"""So much longer others wait for whom a shard is meant, if nobody had it when we came."""


_PART = 4
"""One that is alone takes one of so many shards before others may have come."""


class Claims(NamedTuple):
    """What to claim in this moment, and when the next turn of ours comes (monotonic); the queue,
    to be remembered."""

    acts: Sequence[acts.Act]
    wakes_at: float | None
    queue: tuple[str, ...]


def claims(now: situation.Situation) -> Claims:
    unknown = now.own.shards - now.own.hand.keys() - now.memory.leaving
    adopted = [shard for shard in unknown if now.is_ours(shard)]
    if (begins_at := _begins_at(now)) > now.now:
        # Who shall have what is not worked out yet: with each member that comes it is another.
        early, at = _early(now)
        chosen = sorted([*adopted, *early])
        claim = [acts.Claim(tuple(chosen))] if chosen else []
        queue = now.memory.queue if now.memory.unowned else ()
        soonest = min(begins_at, at)
        return Claims(claim, soonest if soonest < math.inf else None, queue)
    queue = _queue(now)
    times = {shard: at for shard, at in turns(now, queue).items() if at < math.inf}
    due = [shard for shard, at in times.items() if at <= now.now]
    later = (at for at in times.values() if at > now.now)
    chosen = sorted([*adopted, *_within(now, due)])
    claim = [acts.Claim(tuple(chosen))] if chosen else []
    return Claims(claim, min(later, default=None), queue)


def foreseen(now: situation.Situation) -> int:
    """How many shards that nobody has we shall most likely claim: all of them, as long as our key
    is not among the members."""
    free = len(_free(now))
    if now.me is None or not free:
        return free
    return max(0, min(free, _room(now, now.me))) if now.me.takes else 0


def _free(now: situation.Situation) -> list[str]:
    return [s for s in now.memory.unowned if not _in_hand(now, s)]


def _queue(now: situation.Situation) -> tuple[str, ...]:
    """Who has claimed stays in it: else those who see it would all be due at once."""
    if not now.memory.unowned:
        return ()
    free = now.memory.unowned.keys() & now.placed.meant.keys()
    firsts = {now.placed.meant[shard] for shard in free}
    return tuple(sorted({*now.memory.queue, *firsts})) if free else ()


def turns(now: situation.Situation, queue: Sequence[str]) -> Mapping[str, float]:
    """When we may claim each shard of ours that has no owner; never is infinity."""
    if now.me is None or not now.me.takes or not (free := _free(now)):
        return {}
    places = [*queue, now.own.name].index(now.own.name), len(queue)
    settled = _settled_at(now, len(free))
    return {shard: _turn(now, shard, places, settled) for shard in free}


def _early(now: situation.Situation) -> tuple[list[str], float]:
    """One that has seen nobody for a moment, but has too many shards to take them all: a part, as
    that is hardly more than its share, so that it has something to do meanwhile. And when."""
    if now.me is None or not now.me.takes or now.seen.members.keys() != {now.own.name}:
        return [], math.inf
    part = len(now.own.shards) // _PART - len(now.own.hand)
    free = [shard for shard in _free(now) if shard in now.memory.cold]
    if part <= 0 or len(free) <= now.rules.few:
        return [], math.inf
    at = now.memory.joined_at + min(now.rules.alone, now.rules.settle)
    return (sorted(free)[:part], math.inf) if at <= now.now else ([], at)


def _begins_at(now: situation.Situation) -> float:
    """Nobody's turn comes sooner; never is infinity."""
    if now.me is None or not now.me.takes or not (free := _free(now)):
        return math.inf
    if any(shard in now.memory.promised for shard in free):
        return now.now
    since = min(now.memory.unowned[shard] for shard in free)
    return _begin(since, _settled_at(now, len(free)), now.rules)


def _begin(since: float, settled: float, rules: situation.Rules) -> float:
    """Members that come and go all the time must not keep it from having an owner."""
    return max(since, min(settled, since + min(3 * rules.settle, rules.anyone_after)))


def _settled_at(now: situation.Situation, free: int) -> float:
    return now.memory.joined_at + _settling(now, free)


def _settling(now: situation.Situation, free: int) -> float:
    """Where several members came, more may come. One that has seen nobody for a moment is most
    likely alone: it should not start later than one that need not share. If it is not, what it has
    too many of can be given away while it forms."""
    if free <= 1:
        return 0.0
    is_alone = now.seen.members.keys() == {now.own.name}
    soon = is_alone and free <= now.rules.few
    return min(now.rules.alone, now.rules.settle) if soon else now.rules.settle


def _turn(now: situation.Situation, shard: str, queue: tuple[int, int], settled: float) -> float:
    """:param queue: our place in it, and how many are in it: others than who is meant for a shard
    come after all of them."""
    since, rules, me = now.memory.unowned[shard], now.rules, now.own.name
    rank_after = rules.rank_after
    if shard in now.memory.cold:  # Nobody is missed, and many are busy.
        rank_after *= _COLD
    chance = _chance(shard, me) * rank_after
    anyone = since + rules.anyone_after + chance
    begin = _begin(since, settled, rules)
    first = now.memory.promised.get(shard, now.placed.meant.get(shard))
    if situation.rests(now.memory.resting, shard, now.now):
        return anyone
    if first == me:
        return since if shard in now.memory.promised else begin + queue[0] * rules.stagger
    places = now.ranking.places(shard)
    if (place := places.get(me)) is None:
        return anyone if now.me is not None and shard in now.me.shards else math.inf
    if shard in now.memory.promised:
        begin = max(begin, since + rules.patience)
    rank = place if first is not None and places.get(first, place) < place else place + 1
    return min(begin + queue[1] * rules.stagger + rank * rank_after + chance, anyone)


def _within(now: situation.Situation, due: list[str]) -> list[str]:
    """Those of them that are meant for us, or that our share has room for, or that nobody else
    came for."""
    if now.me is None or not due:
        return []
    room = 1 + _room(now, now.me)
    first = {s: now.memory.promised.get(s, now.placed.meant.get(s)) for s in due}
    meant = [s for s in due if first[s] == now.own.name]
    late = now.now - now.rules.anyone_after
    free = [s for s in due if s not in meant and now.memory.unowned[s] <= late]
    others = sorted(set(due) - {*meant, *free})
    return [*meant, *free, *others[: max(0, room - len(meant))]]


def _room(now: situation.Situation, me: census.Member) -> int:
    """How many more are our share; negative if we have too many."""
    return placement.share(me, now.seen.members.values()) - now.load[me.name]


def _in_hand(now: situation.Situation, shard: str) -> bool:
    return shard in now.own.hand or shard in now.memory.leaving


@functools.lru_cache(maxsize=16384)
def _chance(shard: str, member: str) -> float:
    """In [0, 1), another for each shard and member, and always the same."""
    return int.from_bytes(placement.weight(shard, f"chance of {member}")) / 2**64
