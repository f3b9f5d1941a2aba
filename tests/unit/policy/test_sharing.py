from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import random
from collections.abc import Iterable, Mapping

import pytest

from zk2etcd import acts, census
from zk2etcd.policy import placement, sharing, situation

RULES = situation.Rules()
SHARDS = frozenset(f"s{index}" for index in range(6))
NAMES = ("a", "b", "c")
NOW = 1000.0


def members(names: Iterable[str] = NAMES, **each: object) -> dict[str, census.Member]:
    plain = {name: census.Member(name, SHARDS) for name in names}
    changed = {name: dataclasses.replace(plain[name], **said) for name, said in each.items()}  # type: ignore[arg-type]
    return {**plain, **changed}


def seen(
    owners: Mapping[str, str],
    present: Mapping[str, census.Member] | None = None,
    offers: Mapping[str, census.Offer] | None = None,
) -> census.Census:
    has = {shard: census.Owner(name, 7) for shard, name in owners.items()}
    return census.Census(50, members() if present is None else present, has, offers or {})


def spread(*names: str) -> dict[str, str]:
    """As it is meant for these members."""
    return dict(placement.place(members(names).values(), {}).meant)


def own(name: str, census_: census.Census, **said: object) -> situation.Own:
    mine = {s: each.token for s, each in census_.owners.items() if each.member == name}
    plain = situation.Own(name, SHARDS, NOW, mine)
    return dataclasses.replace(plain, **said)  # type: ignore[arg-type]


def step(
    me: situation.Own, found: census.Census, at: float, before: situation.Memory | None = None
) -> sharing.Step:
    fresh = dataclasses.replace(me, seen_at=at)
    return sharing.step(before or situation.Memory(), found, fresh, RULES, at)


def after(me: situation.Own, found: census.Census, *times: float) -> sharing.Step:
    """What is decided at the last of these moments, when all had been so since the first."""
    memory = situation.Memory()
    for at in times:
        last = step(me, found, at, memory)
        memory = last.memory
    return last


def claimed(found: sharing.Step) -> set[str]:
    return {s for act in found.acts if isinstance(act, acts.Claim) for s in act.shards}


def of(found: sharing.Step, kind: type[acts.Act]) -> list[acts.Act]:
    return [act for act in found.acts if isinstance(act, kind)]


# --- claims ----------------------------------------------------------------------------------


def test_a_cold_start_waits_for_others_then_each_claims_what_is_meant_for_it_at_once() -> None:
    cold, meant = seen({}), spread(*NAMES)
    for behind, name in enumerate(NAMES):
        me = own(name, cold)
        early = after(me, cold, NOW, NOW + RULES.settle - 0.01)
        assert claimed(early) == set()
        assert early.wakes_at is not None
        ready = NOW + RULES.settle + behind * RULES.stagger
        assert claimed(after(me, cold, NOW, ready)) == {s for s in SHARDS if meant[s] == name}


def test_one_who_has_seen_nobody_else_waits_for_a_moment_only() -> None:
    cold = seen({}, members("a"))
    me = own("a", cold)
    early = after(me, cold, NOW, NOW + RULES.alone - 0.01)
    assert claimed(early) == set()
    assert early.foreseen == len(SHARDS)
    late = after(me, cold, NOW, NOW + RULES.alone)
    assert claimed(late) == SHARDS
    joined = seen({}, members(("a", "b")))
    memory = after(me, cold, NOW).memory
    at = NOW + RULES.alone - 0.01
    memory = step(me, joined, at, memory).memory
    assert claimed(step(me, joined, at + RULES.settle - 0.01, memory)) == set()
    assert claimed(step(me, joined, at + RULES.settle, memory)) == {
        s for s, name in spread("a", "b").items() if name == "a"
    }


def test_one_alone_with_many_shards_takes_a_quarter_and_waits_for_others_with_the_rest() -> None:
    """If it were wrong to take them all, they could not all be given away soon."""
    many = frozenset(f"s{at}" for at in range(4 * RULES.few))
    cold = seen({}, {"a": census.Member("a", many)})
    me = dataclasses.replace(own("a", cold), shards=many)
    first = after(me, cold, NOW)
    assert (claimed(first), first.wakes_at) == (set(), NOW + RULES.alone)
    assert claimed(after(me, cold, NOW, NOW + RULES.alone - 0.01)) == set()
    early = after(me, cold, NOW, NOW + RULES.alone)
    assert len(claimed(early)) == len(many) // 4
    assert early.wakes_at == NOW + RULES.settle
    me = dataclasses.replace(me, hand=dict.fromkeys(claimed(early), 0))
    assert claimed(step(me, cold, NOW + RULES.settle - 0.01, early.memory)) == set()
    assert claimed(step(me, cold, NOW + RULES.settle, early.memory)) == many - me.hand.keys()


def test_one_that_sees_another_takes_no_quarter_nor_does_one_that_others_have_left() -> None:
    many = frozenset(f"s{at}" for at in range(4 * RULES.few))
    there = {name: census.Member(name, many) for name in ("a", "b")}
    me = dataclasses.replace(own("a", seen({}, there)), shards=many)
    assert claimed(after(me, seen({}, there), NOW, NOW + RULES.settle - 0.01)) == set()
    owned = seen(dict.fromkeys(many, "b"), there)
    memory = step(me, owned, NOW).memory
    left = seen({}, {"a": there["a"]})
    memory = step(me, left, NOW + 60, memory).memory
    found = step(me, left, NOW + 60 + RULES.alone, memory)
    assert claimed(found) in (set(), many), "what is lost is taken at once, or when it is settled"


def test_a_member_foresees_what_is_meant_for_it_and_nobody_has() -> None:
    meant = spread(*NAMES)
    found = seen({s: name for s, name in meant.items() if name != "c"})
    fewer = {name: step(own(name, found), found, NOW).foreseen for name in NAMES}
    assert fewer == {"a": 0, "b": 0, "c": sum(name == "c" for name in meant.values())}
    assert step(own("c", seen(meant)), seen(meant), NOW).foreseen == 0
    assert step(own("d", found), found, NOW).foreseen == len(SHARDS - found.owners.keys())
    assert step(own("d", seen(meant)), seen(meant), NOW).foreseen == 0


def test_members_who_claim_in_the_same_moment_do_so_one_behind_the_other() -> None:
    found = seen({}, members(NAMES))
    memory = situation.Memory(names=frozenset(NAMES), joined_at=NOW - 60)
    wakes = [step(own(name, found), found, NOW, memory) for name in NAMES]
    assert claimed(wakes[0])
    assert [each.wakes_at for each in wakes[1:]] == [NOW + RULES.stagger, NOW + 2 * RULES.stagger]


def test_who_has_claimed_keeps_its_place_so_that_those_behind_are_not_all_due_at_once() -> None:
    names, shards = [f"m{number}" for number in range(8)], frozenset(f"s{at}" for at in range(32))
    there = {name: census.Member(name, shards) for name in names}
    meant = placement.place(there.values(), {}).meant
    memory = situation.Memory(names=frozenset(names), joined_at=NOW - 60)
    me = dataclasses.replace(own("m6", seen({}, there)), shards=shards)
    first = step(me, seen({}, there), NOW, memory)
    assert first.wakes_at == NOW + 6 * RULES.stagger
    some = seen({s: name for s, name in meant.items() if name < "m4"}, there)
    second = step(me, some, NOW + 4 * RULES.stagger, first.memory)
    assert claimed(second) == set()
    assert second.wakes_at == first.wakes_at
    last = step(me, some, NOW + 6 * RULES.stagger, second.memory)
    assert claimed(last) == {s for s, name in meant.items() if name == "m6"}
    all_owned = step(me, seen(meant, there), NOW + 1, last.memory)
    assert all_owned.memory.queue == ()


def test_others_than_who_a_shard_is_meant_for_come_after_the_whole_queue() -> None:
    """Of many that start together the last would be overtaken by the first else."""
    names = [f"m{number:02}" for number in range(30)]
    there = {name: census.Member(name, SHARDS) for name in names}
    memory = situation.Memory(names=frozenset(names), joined_at=NOW - 60)
    found = seen({}, there)
    queue = sorted(set(placement.place(there.values(), {}).meant.values()))
    last = NOW + (len(queue) - 1) * RULES.stagger
    for name in names:
        first = step(own(name, found), found, NOW, memory)
        waits = step(own(name, found), found, last, first.memory)
        if name not in queue:
            assert claimed(waits) == set()
            assert waits.wakes_at is not None
            assert waits.wakes_at >= last + RULES.stagger + RULES.rank_after


def test_for_what_nobody_had_when_we_came_others_than_who_it_is_meant_for_wait_longer() -> None:
    """Its owner is not missed, and may be late because many start at the same time."""
    found = seen({s: name for s, name in spread(*NAMES).items() if name != "c"})
    cold = situation.Memory(names=frozenset(NAMES), joined_at=NOW - 60)
    lost = step(own("a", seen(spread(*NAMES))), seen(spread(*NAMES)), NOW, cold).memory
    for memory, times in (cold, 3), (lost, 1):
        first = step(own("a", found), found, NOW, memory)
        assert first.wakes_at is not None
        soonest = times * RULES.rank_after
        assert soonest <= first.wakes_at - NOW - RULES.stagger < 2 * soonest
        taken = step(own("a", found), found, first.wakes_at, first.memory)
        assert claimed(taken)


def test_while_members_come_nobody_works_out_who_shall_have_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def place(*_: object) -> placement.Placement:
        raise AssertionError("each of many members would do so at each that comes")

    monkeypatch.setattr(placement, "place", place)
    found = seen({}, members(NAMES))
    first = step(own("a", found), found, NOW)
    assert first.acts == ()
    assert first.wakes_at == NOW + RULES.settle
    assert first.foreseen == -(-len(SHARDS) // len(NAMES))
    with pytest.raises(AssertionError, match="each of many"):
        step(own("a", found), found, NOW + RULES.settle, first.memory)


def test_one_shard_that_has_nobody_is_claimed_without_waiting_for_others_to_come() -> None:
    owners = spread("a", "b")
    lost = next(s for s in sorted(SHARDS) if owners[s] == "a")
    found = seen({s: each for s, each in owners.items() if s != lost}, members(["a", "b"]))
    assert claimed(step(own("a", found), found, NOW)) == {lost}


def test_if_who_it_is_meant_for_does_not_come_the_others_do_by_rank_and_in_the_end_anybody() -> (
    None
):
    """`c` is hung: its lease lives, and it claims nothing."""
    found = seen({s: name for s, name in spread(*NAMES).items() if name != "c"})
    missing = SHARDS - found.owners.keys()
    for shard in missing:
        ranks = [n for n in placement.ranking(members().values()).of(shard) if n != "c"]
        me = own(ranks[0], found)
        assert shard not in claimed(after(me, found, NOW, NOW + RULES.rank_after - 0.01))
    soon = {name: after(own(name, found), found, NOW, NOW + 6) for name in ("a", "b")}
    assert set().union(*(claimed(each) for each in soon.values())) <= missing
    assert all(len(claimed(each)) <= 1 for each in soon.values())  # one above its share
    late = NOW + RULES.anyone_after + RULES.rank_after
    assert claimed(after(own("a", found), found, NOW, late)) == missing


def test_what_is_ours_in_etcd_and_in_no_hand_is_taken_up() -> None:
    found = seen(spread(*NAMES))
    mine = {s for s, each in found.owners.items() if each.member == "a"}
    assert claimed(step(own("a", found, hand={}), found, NOW)) == mine


def test_what_another_has_by_now_is_dropped_and_what_a_census_from_before_says_is_not() -> None:
    found = seen({"s0": "b"})
    assert acts.Drop("s0") in step(own("a", found, hand={"s0": 0}), found, NOW).acts
    newer = own("a", found, hand={"s0": 60}, revision=60)
    assert step(newer, found, NOW).acts == ()
    assert step(own("a", found, hand={"s0": 60}), found, NOW).acts == ()


def test_an_old_census_decides_nothing() -> None:
    found = seen({})
    late = sharing.step(situation.Memory(), found, own("a", found), RULES, NOW + RULES.ttl + 1)
    assert late.acts == ()


def test_who_is_not_a_member_yet_claims_nothing() -> None:
    found = seen({}, members(["b"]))
    assert after(own("a", found), found, NOW, NOW + 100).acts == ()


# --- moves -----------------------------------------------------------------------------------


def joined() -> tuple[census.Census, str]:
    """`a` and `b` have all, `c` has come: the census, and which shard of `a` is meant for it."""
    found = seen(spread("a", "b"))
    meant = placement.place(members().values(), spread("a", "b")).meant
    return found, next(s for s in sorted(SHARDS) if meant[s] == "c" != spread("a", "b")[s] == "a")


def test_an_owner_above_its_part_offers_one_after_a_while_and_no_more_than_may_be_under_way() -> (
    None
):
    found, shard = joined()
    me = own("a", found)
    assert of(after(me, found, NOW, NOW + RULES.forming), acts.MakeOffer) == []
    assert of(after(me, found, NOW, NOW + RULES.move_after - 1), acts.MakeOffer) == []
    made = of(after(me, found, NOW, NOW + RULES.move_after), acts.MakeOffer)
    assert made == [acts.MakeOffer(shard, "c", 7, 50)]
    others = {s: census.Offer("b", "c", 9) for s in ("x", "y")}
    busy = dataclasses.replace(found, offers=others)
    memory = after(me, found, NOW).memory
    assert of(step(me, busy, NOW + RULES.move_after, memory), acts.MakeOffer) == []


def test_a_member_that_started_just_now_gives_away_at_once_what_it_has_too_many_of() -> None:
    found, shard = joined()
    me = own("a", found)
    young = after(me, found, NOW, NOW + RULES.forming - 1)
    assert of(young, acts.MakeOffer) == [acts.MakeOffer(shard, "c", 7, 50)]


def test_nothing_is_offered_while_it_evens_nothing_out() -> None:
    found = seen(spread(*NAMES))
    for name in NAMES:
        assert after(own(name, found), found, NOW, NOW + 2 * RULES.move_after).acts == ()


def test_nothing_is_offered_while_a_member_is_there_that_would_keep_it() -> None:
    found, _ = joined()
    older = dataclasses.replace(
        found, members={**found.members, "old": census.Member("old", shares=False)}
    )
    last = after(own("a", older), older, NOW, NOW + RULES.move_after)
    assert of(last, acts.MakeOffer) == []


def test_who_is_offered_a_shard_says_that_it_is_ready_and_only_then_it_is_drained() -> None:
    found, shard = joined()
    offered = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 40)})
    assert step(own("c", offered), offered, NOW).acts == (acts.TakeOffer(shard, 40),)
    assert step(own("a", offered), offered, NOW).acts == ()
    taken = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 41, taken=True)})
    draining = step(own("a", taken), taken, NOW)
    assert draining.acts == (acts.Drain(shard),)
    done = own("a", taken, drained=frozenset([shard]))
    released = step(done, taken, NOW + 1, draining.memory)
    assert released.acts == (acts.Release(shard, 7),)
    gone = dataclasses.replace(found, owners=_without(found.owners, shard), revision=51)
    memory = step(own("c", taken), taken, NOW).memory
    assert claimed(step(own("c", gone), gone, NOW + 1, memory)) == {shard}
    memory = step(own("b", taken), taken, NOW).memory
    assert claimed(step(own("b", gone), gone, NOW + 1, memory)) == set()


def test_who_said_that_it_is_ready_has_time_to_claim_and_is_left_alone_only_after_it() -> None:
    found, shard = joined()
    taken = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 41, taken=True)})
    gone = dataclasses.replace(found, owners=_without(found.owners, shard), revision=51)
    slow, late = NOW + RULES.patience - 0.1, NOW + RULES.patience + 3 * RULES.rank_after
    for name, gets in ("a", {shard}), ("b", set[str]()):  # one has room for it
        memory = step(own(name, taken), taken, NOW).memory
        memory = step(own(name, gone), gone, NOW, memory).memory
        waits = step(own(name, gone), gone, slow, memory)
        assert claimed(waits) == set()
        assert waits.memory.shunned == {}
        last = step(own(name, gone), gone, late, waits.memory)
        assert claimed(last) == gets
        assert "c" in last.memory.shunned


def test_an_offer_that_nobody_takes_is_withdrawn_and_its_taker_left_alone_for_a_while() -> None:
    found, shard = joined()
    offered = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 40)})
    me = own("a", offered)
    memory = after(me, offered, NOW, NOW + RULES.ttl - 1).memory
    late = step(me, offered, NOW + RULES.ttl, memory)
    assert late.acts == (acts.Withdraw(shard, 40),)
    assert late.memory.shunned["c"].until == NOW + RULES.ttl + RULES.shun[0]
    ripe = dataclasses.replace(late.memory, owned=dict.fromkeys(me.hand, 0.0))
    assert of(step(me, found, NOW + RULES.ttl + 1, ripe), acts.MakeOffer) == []
    assert of(step(me, found, NOW + RULES.ttl + 61, ripe), acts.MakeOffer) != []


def test_whoever_does_not_see_the_others_blames_nobody() -> None:
    """Cut off from etcd for less than a TTL: what he saw last is no news of what they did since."""
    found, shard = joined()
    taken = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 41, taken=True)})
    gone = dataclasses.replace(found, owners=_without(found.owners, shard), revision=51)
    memory = step(own("a", taken), taken, NOW).memory
    memory = step(own("a", gone), gone, NOW, memory).memory
    blind = sharing.step(memory, gone, own("a", gone, seen_at=NOW + 1), RULES, NOW + RULES.ttl)
    assert blind.memory.shunned == {}
    offered = dataclasses.replace(found, offers={shard: census.Offer("a", "c", 40)})
    memory = step(own("a", offered), offered, NOW).memory
    me = own("a", offered, seen_at=NOW + 1)
    blind = sharing.step(memory, offered, me, RULES, NOW + RULES.ttl)
    assert (blind.acts, blind.memory.shunned) == ((), {})


def test_one_that_was_gone_is_offered_its_part_when_it_is_back() -> None:
    found, _ = joined()
    me = own("a", found)
    shunned = {"c": situation.Rest(NOW + 100, 100)}
    memory = situation.Memory(owned=dict.fromkeys(me.hand, 0.0), shunned=shunned)
    assert of(step(me, found, NOW, memory), acts.MakeOffer) == []
    without = {name: each for name, each in found.members.items() if name != "c"}
    memory = step(me, dataclasses.replace(found, members=without), NOW, memory).memory
    assert of(step(me, found, NOW + 1, memory), acts.MakeOffer) != []


def test_an_offer_is_withdrawn_at_once_when_its_taker_cannot_have_it_any_more() -> None:
    found, shard = joined()
    for said in ({"draining": True}, {"healthy": False}, {"shards": frozenset({"s-other"})}):
        offers = {shard: census.Offer("a", "c", 40)}
        offered = dataclasses.replace(found, members=members(c=said), offers=offers)
        assert acts.Withdraw(shard, 40) in step(own("a", offered), offered, NOW).acts


def test_an_offer_that_is_stuck_does_not_count_for_ever() -> None:
    found, _ = joined()
    stuck = {s: census.Offer("z", "c", 9) for s in ("x", "y")}
    busy = dataclasses.replace(found, offers=stuck)
    me, later = own("a", busy), NOW + RULES.move_after
    assert of(after(me, busy, NOW, later), acts.MakeOffer) != []


# --- what cannot be mirrored, and the end --------------------------------------------------------


def test_a_shard_in_error_is_given_up_while_another_could_mirror_it_and_then_left_alone() -> None:
    found = seen(spread(*NAMES))
    shard = min(own("a", found).hand)
    me = own("a", found, failing={shard: NOW})
    assert after(me, found, NOW, NOW + RULES.error_after - 1).acts == ()
    yielded = after(me, found, NOW, NOW + RULES.error_after)
    assert yielded.acts == (acts.Drain(shard),)
    assert yielded.failing == {shard}
    free = dataclasses.replace(found, owners=_without(found.owners, shard))
    empty = own("a", free, failing={})
    at = NOW + RULES.error_after + RULES.ttl
    resting = step(empty, free, at, yielded.memory)
    assert claimed(resting) == set()
    assert resting.failing == {shard}
    anyone = at + RULES.anyone_after + RULES.rank_after
    assert claimed(step(empty, free, anyone, resting.memory)) == {shard}


def test_each_time_a_shard_is_given_up_it_is_left_alone_for_twice_as_long() -> None:
    rests: dict[str, situation.Rest] = {}
    lengths = []
    for _ in range(8):
        rests = situation.rested(rests, "s", RULES.rest, NOW)
        lengths.append(rests["s"].length)
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_nobody_gives_up_what_nobody_else_could_mirror() -> None:
    shard = min(own("a", seen(spread(*NAMES))).hand)
    said = {"healthy": False}, {"failing": frozenset([shard])}, {"draining": True}
    for b, c in itertools.product(said, said):
        found = seen(spread(*NAMES), members(b=b, c=c))
        me = own("a", found, failing={shard: NOW - 100})
        assert of(step(me, found, NOW), acts.Drain) == []


def test_who_ends_lets_go_of_all_and_takes_nothing() -> None:
    found = seen(spread("a", "b"), members(["a", "b"], a={"draining": True}))
    mine = sorted(own("a", found).hand)
    me = own("a", found, draining=True, drained=frozenset(mine[:1]))
    ending = step(me, found, NOW).acts
    assert ending == (acts.Release(mine[0], 7), *(acts.Drain(shard) for shard in mine[1:]))
    waiting = own("a", found, draining=True, hand={"s-new": 0})
    assert step(waiting, found, NOW).acts == (acts.Drop("s-new"),)


def _without(found: Mapping[str, census.Owner], shard: str) -> dict[str, census.Owner]:
    return {each: owner for each, owner in found.items() if each != shard}


# --- many of them ----------------------------------------------------------------------------


@dataclasses.dataclass
class Crowd:
    """Members who start within `within` seconds, and an etcd whose claims compare, as they do, that
    no owner has changed since they looked. A census takes 20 to 60 ms, a claim 4."""

    names: list[str]
    shards: frozenset[str]
    within: float
    rng: random.Random
    revision: int = 1
    changed: int = 1
    owners: dict[str, census.Owner] = dataclasses.field(default_factory=dict)
    present: dict[str, census.Member] = dataclasses.field(default_factory=dict)
    txns: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)

    def run(self) -> float:
        """Until every shard has an owner; when that was."""
        turns = itertools.count()
        starts = [(self.rng.uniform(0, self.within), next(turns), n, "start") for n in self.names]
        queue: list[tuple[float, int, str, str]] = list(starts)
        heapq.heapify(queue)
        memory = {name: situation.Memory() for name in self.names}
        pending: dict[str, tuple[tuple[str, ...], int]] = {}
        while len(self.owners) < len(self.shards):
            now, _, name, what = heapq.heappop(queue)
            assert now < 30, "it does not come to an end"
            if what == "start":
                self.present[name] = census.Member(name, self.shards)
                self.revision += 1
            if what == "claim":
                again = self._claim(name, *pending.pop(name))
                if again:
                    pending[name] = again, self.changed
                    heapq.heappush(queue, (now + 0.004, next(turns), name, "claim"))
            elif name not in pending:
                hand = {s: o.token for s, o in self.owners.items() if o.member == name}
                found = census.Census(self.revision, dict(self.present), dict(self.owners))
                mine = situation.Own(name, self.shards, now, hand)
                done = sharing.step(memory[name], found, mine, RULES, now)
                memory[name] = done.memory
                for act in done.acts:
                    if not isinstance(act, acts.Claim):
                        continue
                    pending[name] = act.shards, self.changed
                    heapq.heappush(queue, (now + 0.004, next(turns), name, "claim"))
                soon = now + self.rng.uniform(0.1, 0.3)
                at = min(soon, done.wakes_at) if done.wakes_at is not None else soon
                heapq.heappush(queue, (max(at, now + 0.001), next(turns), name, "look"))
            else:
                heapq.heappush(queue, (now + 0.01, next(turns), name, "look"))
        return now

    def _claim(self, name: str, shards: tuple[str, ...], since: int) -> tuple[str, ...]:
        """What it has to try again, after another look."""
        self.txns[name] += 1
        free = tuple(shard for shard in shards if shard not in self.owners)
        if self.changed > since:
            return free
        self.revision += 1
        self.changed = self.revision
        self.owners.update({s: census.Owner(name, self.revision) for s in free})
        return ()


def test_many_members_that_start_together_share_all_within_seconds_and_a_few_txns_each() -> None:
    shards = frozenset(f"prefix-{index}" for index in range(128))
    crowd = Crowd([f"m{index:02}" for index in range(16)], shards, 0.5, random.Random(1))
    assert crowd.run() < 3.0
    load = collections.Counter(owner.member for owner in crowd.owners.values())
    assert len(load) == 16
    assert max(load.values()) <= 128 // 16 + 1
    assert max(crowd.txns.values()) <= 3
