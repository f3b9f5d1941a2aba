"""How two supervisors and an etcd may go on from one state to the next: in every order.

etcd compares and swaps. A supervisor is the real `sharing.step`; what it decides is carried out
later, one by one, when the census that it was decided by may be out of date. Time passes in whole
TTLs, in each of which everybody who is not frozen looks and acts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.unit.policy import sharing_states as states
from tests.unit.policy.sharing_states import Node, State
from zk2etcd import acts, census
from zk2etcd.policy import sharing, situation

MEMBERS, SHARDS, TTL = states.MEMBERS, states.SHARDS, states.TTL
RULES = situation.Rules(
    ttl=TTL,
    move_after=TTL,
    moves=1,
    forming=0.0,
    settle=0.0,
    stagger=0.0,
    error_after=TTL,
    rest=(TTL, TTL),
    shun=(TTL, TTL),
)


class Wrong(Exception):
    """What must never be was."""


@dataclasses.dataclass(frozen=True)
class World:
    """How the store and the members behave; the product's rules are the defaults.

    `claims_compare`, `drains`, `withdraws`: off in mutations. `alone`: that member believes itself
    to be the only one. `faults`: what may go wrong, each of them once per `State.faults`.
    """

    claims_compare: bool = True
    drains: bool = True
    withdraws: bool = True
    alone: str = ""
    faults: tuple[str, ...] = ("crash", "freeze")
    steps: dict[Any, Any] = dataclasses.field(default_factory=dict, compare=False)

    def start(self, faults: int) -> State:
        """Both have come, and nobody owns anything."""
        members = {name: census.Member(name, frozenset(SHARDS)) for name in MEMBERS}
        node = Node("up", situation.Memory(), None)
        return State(census.Census(1, members, {}, {}), (node,) * len(MEMBERS), faults)

    def joined(self, faults: int) -> State:
        """The one has had both for long, and the other has come just now."""
        new = self.start(faults)
        owners = {shard: census.Owner(MEMBERS[0], at + 1) for at, shard in enumerate(SHARDS)}
        memory = situation.Memory(owned=dict.fromkeys(SHARDS, -TTL))
        old = new.nodes[0]._replace(memory=memory, hand=(1, 2), revision=2)
        store = census.Census(3, new.store.members, owners, {})
        return dataclasses.replace(new, store=store, nodes=(old, *new.nodes[1:]))

    # --- what may happen ---------------------------------------------------------------------

    def after(self, state: State) -> Iterator[tuple[str, State]]:
        """All that may happen next: what it is, and the state that it leads to.

        :raises Wrong: it must not.
        """
        busy = False
        for index, node in enumerate(state.nodes):
            if node.life == "up":
                for what, then in self.doings(state, index):
                    busy = True
                    yield f"{what} {MEMBERS[index]}", then
                yield from self._faults(state, index, node)
            else:
                yield from self._fates(state, index, node)
        # Within a TTL each looks and does what it decided, or it is frozen; or its lease ends.
        if not busy and all(node.life != "over" for node in state.nodes):
            yield "tick", states.later(state)

    def doings(self, state: State, index: int) -> Iterator[tuple[str, State]]:
        """What a member that is well does next, if it has anything to do."""
        node = state.nodes[index]
        if node.acts:
            yield type(node.acts[0]).__name__, self.acted(state, index)
        else:
            then = self.decided(state, index)
            if then.nodes[index].acts or not states.same(then, state, index):
                yield "decide", then
        for shard, token in states.hand(node).items():
            tries = token == 0 and shard not in node.drained
            if tries and (then := self.tried(state, index, shard)) is not state:
                yield "try", then

    def _fates(self, state: State, index: int, node: Node) -> Iterator[tuple[str, State]]:
        name = MEMBERS[index]
        if node.life == "frozen":
            yield f"thaw {name}", states.changed(state, index, node._replace(life="up"))
        if node.life in ("frozen", "dead", "over"):
            yield f"lease ends {name}", states.lease_ends(state, index)
            if node.acts:  # what was sent may arrive late
                yield f"late {type(node.acts[0]).__name__} {name}", self.acted(state, index)
        if node.life in ("cut", "gone"):
            what = "back" if node.life == "cut" else "start"
            yield f"{what} {name}", states.back(state, index)

    def _faults(self, state: State, index: int, node: Node) -> Iterator[tuple[str, State]]:
        if not state.faults:
            return
        less, sick = dataclasses.replace(state, faults=state.faults - 1), frozenset(SHARDS)
        was = not node.acts and node.view not in (None, state.store)
        may: dict[str, Callable[[], State | None]] = {
            "crash": lambda: states.changed(less, index, node._replace(life="dead")),
            "freeze": lambda: states.changed(less, index, node._replace(life="frozen")),
            "lose": lambda: self.unheard(less, index) if node.acts else None,
            "stale": lambda: self.decided(less, index, stale=True) if was else None,
            "stop": lambda: states.says(less, index, node._replace(draining=True)),
            "fail": lambda: states.says(less, index, node._replace(failing=sick)),
        }
        for fault in self.faults:
            if (then := may[fault]()) is not None:
                yield f"{fault} {MEMBERS[index]}", then

    # --- a supervisor ------------------------------------------------------------------------

    def decided(self, state: State, index: int, *, stale: bool = False) -> State:
        """It decides by the census that it has; what it decides is under way from then on."""
        node = state.nodes[index]
        node = node if stale else node._replace(view=state.store)
        found = self._step(index, node)
        held = {shard for shard, token in states.hand(node).items()}
        chosen = [act for act in found.acts if self._is_sent(act)]
        now_drained = {act.shard for act in chosen if isinstance(act, acts.Drain)} & held
        sent = tuple(act for act in chosen if not isinstance(act, acts.Drain))
        drained = node.drained | now_drained
        view = node.view if "stale" in self.faults else None
        then = node._replace(memory=found.memory, acts=sent, drained=drained, view=view)
        return states.changed(state, index, then)

    def _is_sent(self, act: acts.Act) -> bool:
        return self.withdraws or not isinstance(act, acts.Withdraw)

    def _step(self, index: int, node: Node) -> sharing.Step:
        """Most states differ elsewhere: the same question has the same answer."""
        assert node.view is not None
        name = MEMBERS[index]
        seen = node.view
        if self.alone == name and name in seen.members:
            seen = dataclasses.replace(seen, members={name: seen.members[name]})
        hand = states.hand(node)
        own = situation.Own(
            name=name,
            shards=frozenset(SHARDS),
            seen_at=0.0,
            hand=hand,
            drained=node.drained if self.drains else frozenset(hand),
            failing=dict.fromkeys(node.failing, -TTL),
            draining=node.draining,
            revision=node.revision,
        )
        same = {each: each for each in range(seen.revision + 1)}
        given = node.hand, own.drained, node.failing, node.draining, node.revision
        about = index, given, states.memory_key(node.memory), states.census_key(seen, same)
        if about not in self.steps:
            self.steps[about] = sharing.step(node.memory, seen, own, RULES, 0.0)
        found: sharing.Step = self.steps[about]
        return found

    # --- etcd --------------------------------------------------------------------------------

    def acted(self, state: State, index: int) -> State:
        """Its next act is carried out in etcd, and it hears of it at once."""
        node = state.nodes[index]
        act, left = node.acts[0], node._replace(acts=node.acts[1:])
        return self._carried_out(states.changed(state, index, left), index, act)

    def _carried_out(self, state: State, index: int, act: acts.Act) -> State:
        name, store, node = MEMBERS[index], state.store, state.nodes[index]
        if isinstance(act, acts.Claim):
            for shard in act.shards:
                state = self.claimed(state, index, shard)
        elif isinstance(act, acts.Drop):  # the worker drains it first
            drained = node._replace(drained=node.drained | {act.shard})
            return self._let_go(states.changed(state, index, drained), index, act.shard)
        elif isinstance(act, acts.Release):
            return self._let_go(state, index, act.shard)
        elif (offers := self._offered(name, store, act)) is not None:
            return states.put(state, index, offers=offers)
        return state

    def _offered(
        self, name: str, store: census.Census, act: acts.Act
    ) -> Mapping[str, census.Offer] | None:
        """The offers after this act; None if what it compares is not so."""
        offers, new = store.offers, store.revision + 1
        match act:
            case acts.MakeOffer(shard, taker, token, revision):
                newest = max((each.revision for each in offers.values()), default=0)
                if store.owners.get(shard) == census.Owner(name, token) and newest <= revision:
                    return {**offers, shard: census.Offer(name, taker, new)}
            case acts.TakeOffer(shard, revision) | acts.Withdraw(shard, revision):
                if (known := offers.get(shard)) is not None and known.revision == revision:
                    if isinstance(act, acts.Withdraw):
                        return states.without(offers, shard)
                    return {**offers, shard: census.Offer(known.giver, name, new, taken=True)}
            case _:
                pass
        return None

    def claimed(self, state: State, index: int, shard: str) -> State:
        """It has the shard in hand, and its worker tries to take it.

        :raises Wrong: it took it from a member that is there.
        """
        name, owner = MEMBERS[index], state.store.owners.get(shard)
        had = state.nodes[index].hand[SHARDS.index(shard)] or 0
        state = states.handed(state, index, shard, had)
        if owner is not None and owner.member != name:
            if self.claims_compare:
                return state
            raise Wrong(f"{name} took {shard} from {owner.member}, who has it")
        token = state.store.revision + 1
        owners = {**state.store.owners, shard: census.Owner(name, token)}
        return states.handed(states.put(state, index, owners=owners), index, shard, token)

    def tried(self, state: State, index: int, shard: str) -> State:
        """A claim that is in hand, and not known to be done, is tried again."""
        owner = state.store.owners.get(shard)
        free = owner is None or owner.member == MEMBERS[index]
        return self.claimed(state, index, shard) if free else state

    def unheard(self, state: State, index: int) -> State:
        """Its next act is carried out, and the answer lost."""
        node, act, then = state.nodes[index], state.nodes[index].acts[0], self.acted(state, index)
        drained = node.drained | ({act.shard} if isinstance(act, acts.Drop) else set())
        hand = list(node.hand)
        if isinstance(act, acts.Claim):
            for shard in act.shards:
                hand[SHARDS.index(shard)] = hand[SHARDS.index(shard)] or 0
        deaf = node._replace(acts=node.acts[1:], hand=tuple(hand), drained=drained)
        return states.changed(then, index, deaf)

    def _let_go(self, state: State, index: int, shard: str) -> State:
        """Its worker lets go of the shard, and of the owner key if that is its own.

        :raises Wrong: it is written still.
        """
        name, node = MEMBERS[index], state.nodes[index]
        token, owner = node.hand[SHARDS.index(shard)], state.store.owners.get(shard)
        if token is not None and owner == census.Owner(name, token):
            if shard not in node.drained:
                raise Wrong(f"{name} let go of {shard} while it was written")
            owners = states.without(state.store.owners, shard)
            offers = states.without(state.store.offers, shard)
            state = states.put(state, index, owners=owners, offers=offers)
        return states.handed(state, index, shard, None)
