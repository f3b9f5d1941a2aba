"""Two supervisors, two shards and an etcd as plain values, for the search of `test_sharing_search`.

Ages take the place of times, and ranks that of revisions, so that there are finitely many states.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from zk2etcd import acts, census
from zk2etcd.policy import situation

SHARDS = ("s", "t")
MEMBERS = ("a", "b")
TTL = 2.0
_MEMORIES: dict[int, tuple[situation.Memory, Any]] = {}


class Node(NamedTuple):
    """A supervisor with its worker. `life`: "up"; while its lease goes on "frozen", or "dead" and,
    within a TTL, "over"; then "cut" or "gone". `view` is the census by which it last decided, if
    that matters still."""

    life: str
    memory: situation.Memory
    view: census.Census | None
    hand: tuple[int | None, ...] = (None,) * len(SHARDS)
    drained: frozenset[str] = frozenset()
    draining: bool = False
    failing: frozenset[str] = frozenset()
    revision: int = 0
    acts: tuple[acts.Act, ...] = ()


@dataclasses.dataclass(frozen=True)
class State:
    """`faults`: how many may still happen."""

    store: census.Census
    nodes: tuple[Node, ...]
    faults: int


def lease_ends(state: State, index: int) -> State:
    """All that it has in etcd is gone, and what was under way comes to nothing."""
    name, store, node = MEMBERS[index], state.store, state.nodes[index]
    then = dataclasses.replace(
        store,
        revision=store.revision + 1,
        members=without(store.members, name),
        owners={s: each for s, each in store.owners.items() if each.member != name},
        offers={s: each for s, each in store.offers.items() if each.giver != name},
    )
    dead = node.life in ("dead", "over")
    after = Node("gone", situation.Memory(), None) if dead else node._replace(life="cut", acts=())
    return changed(dataclasses.replace(state, store=then), index, after)


def back(state: State, index: int) -> State:
    """It finds that its lease had ended, or is started anew: it owns nothing, and puts its member
    key."""
    node = state.nodes[index]
    hand = tuple(None if token is None else 0 for token in node.hand)
    woken = node._replace(life="up", hand=hand, drained=frozenset())
    return says(state, index, woken)


def says(state: State, index: int, node: Node) -> State:
    """It is so from now on, and its member key says it."""
    name, state = MEMBERS[index], changed(state, index, node)
    told = census.Member(
        name,
        frozenset(SHARDS),
        draining=node.draining,
        healthy=not node.failing,
        failing=node.failing,
    )
    return put(state, index, members={**state.store.members, name: told})


def owners(state: State, shard: str) -> list[str]:
    """Those who believe that they own the shard, with a token that etcd takes."""
    owner, at = state.store.owners.get(shard), SHARDS.index(shard)
    tokens = [(name, node.hand[at]) for name, node in zip(MEMBERS, state.nodes, strict=True)]
    return [name for name, token in tokens if token and owner and token == owner.token]


def writers(state: State, shard: str) -> list[str]:
    """Those whose lease lives and who have not stopped to write the shard."""
    at, up = SHARDS.index(shard), ("up", "frozen")
    nodes = zip(MEMBERS, state.nodes, strict=True)
    return [n for n, x in nodes if x.life in up and x.hand[at] and shard not in x.drained]


def same(one: State, other: State, index: int) -> bool:
    a, b = one.nodes[index], other.nodes[index]
    return a.drained == b.drained and memory_key(a.memory) == memory_key(b.memory)


def hand(node: Node) -> dict[str, int]:
    return {s: token for s, token in zip(SHARDS, node.hand, strict=True) if token is not None}


def changed(state: State, index: int, node: Node) -> State:
    nodes = (*state.nodes[:index], node, *state.nodes[index + 1 :])
    return dataclasses.replace(state, nodes=nodes)


def handed(state: State, index: int, shard: str, token: int | None) -> State:
    node, at = state.nodes[index], SHARDS.index(shard)
    drained = node.drained if token and shard in node.drained else node.drained - {shard}
    hand = (*node.hand[:at], token, *node.hand[at + 1 :])
    return changed(state, index, node._replace(hand=hand, drained=drained))


def put(state: State, index: int, **parts: Mapping[str, Any]) -> State:
    revision = state.store.revision + 1
    store = dataclasses.replace(state.store, revision=revision, **parts)
    node = state.nodes[index]._replace(revision=revision)
    return changed(dataclasses.replace(state, store=store), index, node)


def without(found: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {each: value for each, value in found.items() if each != key}


def later(state: State) -> State:
    lives = {"dead": "over"}
    nodes = tuple(
        node._replace(memory=aged(node.memory, TTL), life=lives.get(node.life, node.life))
        for node in state.nodes
    )
    return dataclasses.replace(state, nodes=nodes)


def aged(memory: situation.Memory, by: float) -> situation.Memory:
    def older(times: Mapping[Any, float], most: float) -> dict[Any, float]:
        return {key: max(-most, at - by) for key, at in times.items()}

    def rests(found: Mapping[str, situation.Rest]) -> dict[str, situation.Rest]:
        left = {key: situation.Rest(each.until - by, each.length) for key, each in found.items()}
        return {key: each for key, each in left.items() if each.until + 2 * each.length > 0}

    return dataclasses.replace(
        memory,
        unowned=older(memory.unowned, 3 * TTL),
        owned=older(memory.owned, TTL),
        offered=older(memory.offered, 3 * TTL),
        began=0.0,
        joined_at=0.0,
        resting=rests(memory.resting),
        shunned=rests(memory.shunned),
    )


# --- what makes two states the same ---------------------------------------------------------


def ranks(state: State) -> dict[int, int]:
    """Each revision's place among those that matter; 0 stays 0."""
    found = {0, *revisions(state.store)}
    for node in state.nodes:
        found.update(token for token in node.hand if token)
        found.add(node.revision)
        if node.view is not None:
            found.update(revisions(node.view))
        for act in node.acts:
            found.add(getattr(act, "token", 0))
            found.add(getattr(act, "revision", 0))
    return {revision: rank for rank, revision in enumerate(sorted(found))}


def key(state: State, rank: Mapping[int, int]) -> Any:
    """Equal for states that are the same but for the size of their revisions."""
    nodes = tuple(
        (
            node.life,
            memory_key(node.memory),
            node.view and census_key(node.view, rank),
            tuple(token and rank[token] for token in node.hand),
            node.drained,
            node.draining,
            node.failing,
            rank[node.revision],
            tuple(ranked_act(act, rank) for act in node.acts),
        )
        for node in state.nodes
    )
    return census_key(state.store, rank), nodes, state.faults


def small(state: State, rank: Mapping[int, int]) -> State:
    """The same state with ranks for revisions."""
    nodes = tuple(
        node._replace(
            view=node.view and ranked_census(node.view, rank),
            hand=tuple(token and rank[token] for token in node.hand),
            revision=rank[node.revision],
            acts=tuple(ranked_act(act, rank) for act in node.acts),
        )
        for node in state.nodes
    )
    return dataclasses.replace(state, store=ranked_census(state.store, rank), nodes=nodes)


def revisions(found: census.Census) -> Iterator[int]:
    yield found.revision
    yield from (each.token for each in found.owners.values())
    yield from (each.revision for each in found.offers.values())


def ranked_census(found: census.Census, rank: Mapping[int, int]) -> census.Census:
    return census.Census(
        rank[found.revision],
        found.members,
        {s: census.Owner(each.member, rank[each.token]) for s, each in found.owners.items()},
        {
            s: dataclasses.replace(each, revision=rank[each.revision])
            for s, each in found.offers.items()
        },
    )


def ranked_act(act: acts.Act, rank: Mapping[int, int]) -> acts.Act:
    match act:
        case acts.MakeOffer():
            revision = rank[act.revision]
            return dataclasses.replace(act, token=rank[act.token], revision=revision)
        case acts.TakeOffer() | acts.Withdraw():
            return dataclasses.replace(act, revision=rank[act.revision])
        case acts.Release():
            return dataclasses.replace(act, token=rank[act.token])
        case _:
            return act


def census_key(found: census.Census, rank: Mapping[int, int]) -> Any:
    owners_ = tuple(sorted((s, x.member, rank[x.token]) for s, x in found.owners.items()))
    offers = tuple(
        sorted((s, x.giver, x.taker, rank[x.revision], x.taken) for s, x in found.offers.items())
    )
    members = tuple(sorted((name, x.draining, x.healthy) for name, x in found.members.items()))
    return rank[found.revision], members, owners_, offers


def memory_key(memory: situation.Memory) -> Any:
    """Most states share theirs with others."""
    known = _MEMORIES.get(id(memory))
    if known is None or known[0] is not memory:
        rests = tuple(
            tuple(sorted((which, each.until, each.length) for which, each in found.items()))
            for found in (memory.resting, memory.shunned)
        )
        times = (memory.unowned, memory.owned, memory.offered, memory.promised)
        said = tuple(tuple(sorted(each.items())) for each in times)
        known = _MEMORIES[id(memory)] = memory, (said, memory.leaving, rests)
    return known[1]
