from __future__ import annotations

import collections
import dataclasses
import math
import random
import time
from collections.abc import Iterable, Mapping, Sequence

from hypothesis import given, strategies as st

from zk2etcd import census
from zk2etcd.policy import placement

NAMES = st.sets(st.sampled_from([f"m{index}" for index in range(12)]), min_size=1, max_size=9)
SHARDS = st.sets(st.sampled_from([f"s{index}" for index in range(60)]), max_size=40)
RANDOM = st.randoms(use_true_random=False)


def members(
    names: Iterable[str], shards: Iterable[str], capacity: Mapping[str, int] | None = None
) -> list[census.Member]:
    ids, slots = frozenset(shards), capacity or {}
    return [census.Member(name, ids, slots.get(name, 1)) for name in sorted(names)]


def place(present: Sequence[census.Member], current: Mapping[str, str]) -> dict[str, str]:
    return dict(placement.place(present, current).meant)


def moved(before: Mapping[str, str], after: Mapping[str, str]) -> set[str]:
    return {shard for shard, name in before.items() if after.get(shard) != name}


def history(
    rng: random.Random, shards: Iterable[str], capacity: Mapping[str, int]
) -> dict[str, str]:
    """What stands after members came and went, each time as it was meant."""
    current: dict[str, str] = {}
    for _ in range(rng.randrange(4)):
        names = rng.sample(sorted(capacity), rng.randint(1, len(capacity)))
        current = place(members(names, shards, capacity), current)
    return current


@given(NAMES, SHARDS, RANDOM)
def test_all_are_placed_evenly_and_the_order_of_what_is_known_is_irrelevant(
    names: set[str], shards: set[str], rng: random.Random
) -> None:
    current = {shard: rng.choice(sorted(names)) for shard in sorted(shards) if rng.random() < 0.5}
    present = members(names, shards)
    meant = place(present, current)
    assert meant.keys() == shards
    load = collections.Counter(meant.values())
    assert max(load.values(), default=0) <= math.ceil(len(shards) / len(names))
    assert min((load[name] for name in names), default=0) >= len(shards) // len(names)
    rng.shuffle(present)
    shuffled = list(current.items())
    rng.shuffle(shuffled)
    assert place(present, dict(shuffled)) == meant


@given(NAMES, SHARDS, RANDOM)
def test_a_member_that_joins_takes_its_part_and_nothing_else_moves(
    names: set[str], shards: set[str], rng: random.Random
) -> None:
    current = place(members(names, shards), history(rng, shards, dict.fromkeys(names, 1)))
    joined = place(members([*names, "new"], shards), current)
    changed = moved(current, joined)
    assert len(changed) <= math.ceil(len(shards) / (len(names) + 1))
    assert {joined[shard] for shard in changed} <= {"new"}


@given(NAMES, SHARDS, RANDOM)
def test_a_member_that_is_lost_moves_only_what_it_had(
    names: set[str], shards: set[str], rng: random.Random
) -> None:
    current = place(
        members([*names, "lost"], shards), history(rng, shards, dict.fromkeys(names, 1))
    )
    left = place(members(names, shards), current)
    assert moved(current, left) == {shard for shard, name in current.items() if name == "lost"}


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(1, 9), min_size=1), SHARDS, RANDOM)
def test_by_capacity_nobody_gets_more_than_their_share_rounded_up(
    capacity: dict[str, int], shards: set[str], rng: random.Random
) -> None:
    total = sum(capacity.values())
    before = place(members(capacity, shards, capacity), history(rng, shards, capacity))
    load = collections.Counter(before.values())
    assert all(
        load[name] <= math.ceil(len(shards) * slots / total) for name, slots in capacity.items()
    )
    assert place(members(capacity, shards, capacity), before) == before
    grown = {**capacity, "new": rng.randint(1, 9)}
    after = place(members(grown, shards, grown), before)
    changed = moved(before, after)
    share = math.ceil(len(shards) * grown["new"] / sum(grown.values()))
    assert len(changed) <= share
    assert {after[shard] for shard in changed} <= {"new"}


@given(NAMES, SHARDS, RANDOM)
def test_what_is_placed_stays_whoever_differs(
    names: set[str], shards: set[str], rng: random.Random
) -> None:
    """Placing again changes nothing, whatever the members' configurations, health and state."""
    present = [_any(rng, each) for each in members(names, shards)]
    meant = place(present, {shard: rng.choice(sorted(names)) for shard in sorted(shards)})
    assert place(present, meant) == meant
    by_name = {each.name: each for each in present}
    able = {shard for each in present if each.takes for shard in each.shards}
    assert meant.keys() == able
    for shard, name in meant.items():
        assert by_name[name].takes
        assert shard in by_name[name].shards


def _any(rng: random.Random, member: census.Member) -> census.Member:
    return dataclasses.replace(
        member,
        shards=frozenset(shard for shard in sorted(member.shards) if rng.random() < 0.7),
        capacity=rng.randint(1, 4),
        draining=rng.random() < 0.2,
        shares=rng.random() < 0.8,
        healthy=rng.random() < 0.8,
    )


def test_a_shard_that_only_one_member_knows_is_that_ones_also_beyond_its_part() -> None:
    shards = [f"s{index}" for index in range(8)]
    few, all_ = members(["few"], shards[:2]), members(["all"], shards)
    meant = place([*few, *all_], {})
    assert {meant[shard] for shard in shards[2:]} == {"all"}
    assert collections.Counter(meant.values()) == {"all": 6, "few": 2}


def test_a_member_without_zookeeper_keeps_what_it_has_and_gets_nothing() -> None:
    shards = [f"s{index}" for index in range(6)]
    well, sick = members(["a", "b"], shards)
    sick = dataclasses.replace(sick, healthy=False)
    meant = place([well, sick], {"s0": "b"})
    assert meant == {**dict.fromkeys(shards, "a"), "s0": "b"}


def test_if_nobody_is_healthy_the_shards_are_shared_all_the_same() -> None:
    sick = [dataclasses.replace(each, healthy=False) for each in members(["a", "b"], ["s0", "s1"])]
    assert set(place(sick, {}).values()) == {"a", "b"}


def test_who_could_not_mirror_a_shard_is_asked_last() -> None:
    for names in (["a", "b"], ["b", "a"]):
        tired, other = (census.Member(name, frozenset(["s"])) for name in names)
        tired = dataclasses.replace(tired, failing=frozenset(["s"]))
        assert place([tired, other], {}) == {"s": names[1]}
        assert placement.ranking([tired, other]).of("s") == [names[1]]
        assert placement.ranking([tired]).of("s") == [names[0]]


def test_the_draining_and_those_who_do_not_share_have_no_part() -> None:
    shards = [f"s{index}" for index in range(6)]
    one, two, three = members(["a", "b", "c"], shards)
    two, three = dataclasses.replace(two, draining=True), dataclasses.replace(three, shares=False)
    assert set(place([one, two, three], dict.fromkeys(shards, "b")).values()) == {"a"}
    assert placement.share(one, [one, two, three]) == 6


def test_a_member_with_a_configured_name_gets_the_same_shards_in_its_next_life() -> None:
    shards = frozenset(f"s{index}" for index in range(12))

    def lives(*names: str) -> list[census.Member]:
        return [census.Member(name, shards, label=name[0]) for name in names]

    first = place(lives("a-1", "b-1", "c-1"), {})
    again = place(lives("a-1", "b-2", "c-1"), {s: n for s, n in first.items() if n != "b-1"})
    assert again == {s: n.replace("b-1", "b-2") for s, n in first.items()}
    assert place(lives("c-9", "b-9", "a-9"), {}) == {s: f"{n[0]}-9" for s, n in first.items()}
    two = place(lives("a-1", "a-2"), {})
    assert collections.Counter(two.values()) == {"a-1": 6, "a-2": 6}


def test_many_members_and_shards_are_placed_at_once() -> None:
    shards = [f"prefix-{index:03}" for index in range(256)]
    present = members([f"member-{index:02}" for index in range(32)], shards)
    began = time.process_time()
    meant = place(present, {})
    assert place(present, meant) == meant
    assert time.process_time() - began < 0.5
    assert set(collections.Counter(meant.values()).values()) == {8}
