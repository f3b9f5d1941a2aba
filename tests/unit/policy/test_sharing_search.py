"""All orders in which two supervisors can come by two shards, with a fault at every step.

Nothing but the order is made up: each decides by the real `sharing.step`. What is asked of every
state that can be reached: no shard has two owners by token, or two that write it; nobody loses one
that it did not let go of (`sharing_world.Wrong`); and from there, if nothing more goes wrong,
everything comes to rest, with every shard where it should be.

That the search would find what it looks for is shown by rules that are wrong on purpose.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.unit.policy import sharing_states as states, sharing_world
from zk2etcd.policy import claiming, moving, placement, situation

FAULTS = ("crash", "freeze", "lose", "stale", "stop", "fail")
DONE = {"Claim", "MakeOffer", "TakeOffer", "Release"}


class Search(NamedTuple):
    """`came`: how each state was reached. `moves`: between states without a fault, by key, and
    whether a shard was let go of on the way. `next`: the one that comes if all goes well."""

    came: dict[Any, tuple[Any, str] | None]
    found: dict[Any, states.State]
    moves: dict[Any, list[tuple[Any, bool]]]
    next: dict[Any, Any]

    def did(self, act: str) -> bool:
        return any(by is not None and by[1].startswith(act) for by in self.came.values())

    def path(self, key: Any) -> list[str]:
        steps = []
        while (by := self.came[key]) is not None:
            key, what = by
            steps.append(what)
        return steps[::-1]


def search(world: sharing_world.World, starts: list[states.State]) -> Search:
    """Every state that can be reached. Raises Wrong, with the way there."""
    result = Search({}, {}, {}, {})
    todo: collections.deque[Any] = collections.deque()

    def reached(state: states.State, by: tuple[Any, str] | None) -> Any:
        rank = states.ranks(state)
        if (key := states.key(state, rank)) not in result.came:
            result.came[key] = by
            result.found[key] = states.small(state, rank)
            todo.append(key)
        return key

    for start in starts:
        reached(start, None)
    while todo:
        key = todo.popleft()
        state = result.found[key]
        result.moves[key] = moves = []
        try:
            check(state)
            for what, then in world.after(state):
                then_key = reached(then, (key, what))
                if then.faults == state.faults:
                    moves.append((then_key, what.startswith("Release")))
                    if not what.startswith(("late", "start")):
                        result.next.setdefault(key, then_key)
        except sharing_world.Wrong as wrong:
            raise sharing_world.Wrong(f"{wrong}: {', '.join(result.path(key))}") from None
    return result


def check(state: states.State) -> None:
    """Raises Wrong for a shard with two who may write it."""
    for shard in states.SHARDS:
        for found in (states.owners(state, shard), states.writers(state, shard)):
            if len(found) > 1:
                raise sharing_world.Wrong(f"{shard} has two: {found}")


def faulty(found: Search) -> list[str]:
    """Where it does not end well if from now on all goes well, from any state: whoever has
    something to do does it, who is frozen wakes up, who is dead stays so, and time passes."""
    ends: dict[Any, str] = {}
    for start in found.found:
        passed = {}
        key = start
        while key not in ends and key not in passed:
            passed[key] = True
            key = found.next[key]
        if key not in ends:
            ends[key] = unrest(found.found[key]) if found.next[key] == key else "it never rests"
        ends.update(dict.fromkeys(passed, ends[key]))
    return [f"{ends[key]}: {', '.join(found.path(key))}" for key in found.found if ends[key]]


def unrest(state: states.State) -> str:
    """What is not as it should be when nothing happens any more."""
    able = [n for n, node in named(state) if node.life == "up" and not node.draining]
    well = [name for name in able if not state.nodes[states.MEMBERS.index(name)].failing] or able
    if not well:
        return ""
    if state.store.offers:
        return f"an offer stays: {state.store.offers}"
    owned = [states.owners(state, shard) for shard in states.SHARDS]
    if any(len(found) != 1 or found[0] not in well for found in owned):
        return f"{owned} own the shards, {well} are well"
    if any(states.writers(state, shard) != owned[at] for at, shard in enumerate(states.SHARDS)):
        return "an owner does not write its shard"
    sick = any(node.failing for name, node in named(state) if name in well)
    if len({found[0] for found in owned}) != len(well) and not sick:
        return f"uneven: {owned} of {well}"
    return ""


def named(state: states.State) -> Iterator[tuple[str, states.Node]]:
    return zip(states.MEMBERS, state.nodes, strict=True)


def circles(found: Search) -> list[str]:
    """The ways on which, without any fault, a shard could be moved again and again."""
    number = components(found.moves)
    return [
        ", ".join(found.path(key))
        for key, moves in found.moves.items()
        for then, released in moves
        if released and number[key] == number[then]
    ]


def components(edges: dict[Any, list[tuple[Any, bool]]]) -> dict[Any, int]:
    """Tarjan's: which keys can reach each other."""
    index: dict[Any, int] = {}
    low: dict[Any, int] = {}
    component: dict[Any, int] = {}
    stack: list[Any] = []
    for root, ways in edges.items():
        work = [(root, iter(ways))] if root not in index else []
        while work:
            key, rest = work[-1]
            if key not in index:
                index[key] = low[key] = len(index)
                stack.append(key)
            then = next((each for each, _ in rest), None)
            if then is not None:
                if then not in index:
                    work.append((then, iter(edges[then])))
                elif then not in component:
                    low[key] = min(low[key], index[then])
                continue
            work.pop()
            if work:
                above = work[-1][0]
                low[above] = min(low[above], low[key])
            while low[key] == index[key] and key not in component:
                component[stack.pop()] = index[key]
    return component


def explored(*faults: str, world: sharing_world.World | None = None) -> Search:
    """With one of these faults, which may come at any step of a cold start and of a move. For a
    frozen one the cold start is left out: it would be most of the time that all of this takes."""
    rules = dataclasses.replace(world or sharing_world.World(), faults=faults)
    starts = [rules.joined(1)] if "freeze" in faults else [rules.joined(1), rules.start(1)]
    return search(rules, starts)


@pytest.mark.parametrize("fault", FAULTS)
def test_with_a_fault_at_every_step_all_comes_to_rest_as_it_should(fault: str) -> None:
    found = explored(fault)
    assert len(found.found) > 100
    assert {act for act in DONE if found.did(act)} == DONE
    assert faulty(found)[:3] == []
    assert circles(found)[:3] == []


# --- rules that are wrong on purpose ---------------------------------------------------------


def test_a_claim_that_compares_nothing_is_found_to_take_what_another_has() -> None:
    with pytest.raises(sharing_world.Wrong, match=", who has it"):
        explored("crash", world=sharing_world.World(claims_compare=False))


def test_a_move_without_a_drain_is_found_to_let_go_of_what_is_written() -> None:
    with pytest.raises(sharing_world.Wrong, match="while it was written"):
        explored("crash", world=sharing_world.World(drains=False))


def test_an_offer_that_is_not_withdrawn_is_found_to_stay() -> None:
    found = faulty(explored("crash", world=sharing_world.World(withdraws=False)))
    assert any(fault.startswith("an offer stays") for fault in found)


@pytest.mark.parametrize("alone", states.MEMBERS)
def test_placement_by_two_views_costs_time_and_balance_and_nothing_else(alone: str) -> None:
    found = explored("crash", world=sharing_world.World(alone=alone))
    assert {fault.partition(":")[0] for fault in faulty(found)} == {"uneven"}
    assert circles(found) == []


def test_members_who_each_mean_all_for_the_other_are_found_to_move_it_in_circles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes two faults: placement that differs, and moves that even nothing out."""
    monkeypatch.setattr(situation.Situation, "placed", property(_all_for_the_other))
    assert circles(explored()) == []
    monkeypatch.setattr(moving, "_is_ripe", lambda now, shard, *_: shard not in now.seen.offers)
    assert circles(explored()) != []


def test_a_shard_that_only_its_first_choice_may_claim_is_found_to_stay_without_an_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claiming, "turns", _first_choices_only)
    assert any("own the shards" in fault for fault in faulty(explored("stop")))


def _all_for_the_other(now: situation.Situation) -> placement.Placement:
    others = [name for name in now.seen.members if name != now.own.name] or [now.own.name]
    return placement.Placement(dict.fromkeys(states.SHARDS, others[0]), {})


def _first_choices_only(now: situation.Situation, _queue: object) -> dict[str, float]:
    free = [shard for shard in now.memory.unowned if shard not in now.own.hand]
    meant = {shard: weighed(shard, now) for shard in free}
    return {shard: now.now for shard, name in meant.items() if name == now.own.name}


def weighed(shard: str, now: situation.Situation) -> str:
    """By hash alone, whether that one is well or not."""
    return max(now.seen.members, key=lambda name: placement.weight(shard, name))
