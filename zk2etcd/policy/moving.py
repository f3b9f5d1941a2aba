"""How a shard that somebody has comes to another member: only ever by its owner's own doing.

For balance it is *offered*, and drained only once the taker said that it is ready: nothing is let
go for a member that is gone. An offer that nobody takes is withdrawn. What was offered is counted
as the taker's, and a move is made only where it evens things out, so moves come to an end.
Whatever breaks in between, the shard has its owner still, or none; and that is `claiming`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from zk2etcd import acts, census
from zk2etcd.policy import situation

_Situation = situation.Situation


def decided(now: _Situation) -> situation.Memory:
    """What we let go of from now on: at our end all of it, else what others have by now, what they
    can mirror and we cannot, and what was offered and taken. With whom we have no patience."""
    memory, rules = now.memory, now.rules
    if now.own.draining:
        return dataclasses.replace(memory, leaving=frozenset(now.own.hand))
    leaving = {*memory.leaving, *(s for s in now.own.hand if now.is_anothers(s))}
    resting, shunned = dict(memory.resting), dict(memory.shunned)
    for shard in yielded(now):
        leaving.add(shard)
        resting = situation.rested(resting, shard, rules.rest, now.now)
    for shard, offer in _ours(now):
        if _stands(now, shard, offer) and offer.taken and shard not in now.own.asked:
            leaving.add(shard)
    for taker in _hesitant(now):
        shunned = situation.rested(shunned, taker, rules.shun, now.now)
    return dataclasses.replace(memory, leaving=frozenset(leaving), resting=resting, shunned=shunned)


def leave(now: _Situation) -> Iterator[acts.Act]:
    """Drain what we let go of, and release what is drained."""
    for shard in sorted(now.memory.leaving & now.own.hand.keys()):
        token = now.own.hand[shard]
        if not token:
            yield acts.Drop(shard)
        elif shard not in now.own.drained:
            yield acts.Drain(shard)
        else:
            yield acts.Release(shard, token)


def withdraw(now: _Situation) -> Iterator[acts.Act]:
    """Our offers that have come to nothing."""
    for shard, offer in _ours(now):
        if shard in now.memory.leaving:
            continue  # they go with the owner key
        if not _stands(now, shard, offer) or _expired(now, shard, offer):
            yield acts.Withdraw(shard, offer.revision)


def take(now: _Situation) -> Iterator[acts.Act]:
    """What was offered to us."""
    me = now.me
    if me is None or not me.takes or not me.healthy:
        return
    for shard, offer in sorted(now.seen.offers.items()):
        wanted = offer.taker == me.name and not offer.taken and shard in now.own.shards
        if wanted and not situation.rests(now.memory.resting, shard, now.now):
            yield acts.TakeOffer(shard, offer.revision)


def offer(now: _Situation) -> Iterator[acts.Act]:
    """The next shard that another should have, one at a time."""
    members = now.seen.members
    if now.me is None or len(members) == 1 or len(now.moving()) >= now.rules.moves:
        return
    if any(not each.shares for each in members.values()):
        return  # that one would take it, and never give it back
    for shard in sorted(now.memory.owned):
        taker = members.get(now.placed.meant.get(shard, now.own.name))
        if taker is not None and taker is not now.me and _is_ripe(now, shard, now.me, taker):
            token = now.seen.owners[shard].token
            yield acts.MakeOffer(shard, taker.name, token, now.seen.revision)
            return


def yielded(now: _Situation) -> list[str]:
    """What has been in error here for a while, and another could mirror as far as anyone knows."""
    late = now.now - now.rules.error_after
    found = [s for s, since in now.own.failing.items() if since <= late and now.is_ours(s)]
    busy = now.own.trying | now.memory.leaving
    return sorted(s for s in found if s not in busy and any(_could(now, s)))


def troubled(now: _Situation) -> frozenset[str]:
    """What our own key shall say that we cannot mirror (`census.Member.failing`)."""
    late = now.now - now.rules.error_after
    failing = {s for s, since in now.own.failing.items() if since <= late}
    rests = {s for s in now.memory.resting if situation.rests(now.memory.resting, s, now.now)}
    return frozenset(failing | rests)


def _could(now: _Situation, shard: str) -> Iterator[census.Member]:
    for each in now.seen.members.values():
        able = each.takes and each.healthy and shard in each.shards
        if able and each.name != now.own.name and shard not in each.failing:
            yield each


def _is_ripe(now: _Situation, shard: str, me: census.Member, taker: census.Member) -> bool:
    """Whether the shard may be offered: it was here for long enough, and that evens things out."""
    if shard in now.seen.offers or shard in now.memory.leaving or shard not in now.own.hand:
        return False
    if shard in now.own.asked or shard in taker.failing or _shunned(now, taker.name):
        return False
    mine, theirs = now.load[me.name], now.load[taker.name]
    # As parts are dealt out; among equals: they have fewer, by more than one.
    evens = theirs * me.capacity < (mine - 1) * taker.capacity
    forming = now.memory.began is not None and now.now - now.memory.began < now.rules.forming
    return evens and (forming or now.now - now.memory.owned[shard] >= now.rules.move_after)


def _ours(now: _Situation) -> Iterable[tuple[str, census.Offer]]:
    return sorted((s, each) for s, each in now.seen.offers.items() if each.giver == now.own.name)


def _stands(now: _Situation, shard: str, offer: census.Offer) -> bool:
    """The shard is ours to give, and its taker could have it."""
    taker = now.seen.members.get(offer.taker)
    able = taker is not None and taker.takes and taker.healthy and shard in taker.shards
    return able and now.is_ours(shard) and shard in now.own.hand


def _expired(now: _Situation, shard: str, offer: census.Offer) -> bool:
    return not offer.taken and now.told_at - now.since(shard, offer) >= now.rules.ttl


def _hesitant(now: _Situation) -> set[str]:
    """Who had the time to take what we offered, or to claim what was let go of for them."""
    late = now.told_at - now.rules.patience
    promised = now.memory.promised.items()
    idle = {taker for s, taker in promised if now.memory.unowned.get(s, now.now) <= late}
    idle.update(offer.taker for shard, offer in _ours(now) if _expired(now, shard, offer))
    return {taker for taker in idle if taker != now.own.name and not _shunned(now, taker)}


def _shunned(now: _Situation, taker: str) -> bool:
    return situation.rests(now.memory.shunned, taker, now.now)
