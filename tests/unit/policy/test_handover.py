from __future__ import annotations

import hypothesis
from hypothesis import stateful, strategies as st

from zk2etcd.policy import handover

SLOTS = ("w0", "w1", "w2")
SHARDS = ("a", "b", "c", "d")


def test_a_moved_shard_waits_for_its_old_worker() -> None:
    book = handover.Handover()
    book.give("w0", ["a", "b"], 1)
    assignment = {"a": "w0", "b": "w1"}
    assert book.grantable("w1", assignment) == ()
    book.give("w0", book.grantable("w0", assignment), 2)
    book.reported("w0", 1, ["a", "b"])
    assert book.grantable("w1", assignment) == ()
    book.reported("w0", 2, ["a", "b"])
    assert book.grantable("w1", assignment) == ()
    book.reported("w0", 2, ["a"])
    assert book.grantable("w1", assignment) == ("b",)


def test_death_lets_go_of_everything() -> None:
    book = handover.Handover()
    book.give("w0", ["a", "b"], 1)
    book.give("w0", ["a"], 2)
    assert book.holders("b") == {"w0"}
    book.reaped("w0")
    assert book.holders("a") == book.holders("b") == frozenset()


def test_a_shard_that_comes_back_to_its_slot_need_not_wait() -> None:
    book = handover.Handover()
    book.give("w0", ["a"], 1)
    book.give("w0", [], 2)
    assert book.grantable("w0", {"a": "w0"}) == ("a",)
    book.give("w0", ["a"], 3)
    book.reported("w0", 2, [])
    assert book.holders("a") == {"w0"}


class Workers(stateful.RuleBasedStateMachine):
    """Workers that receive, carry out and report late, or die; no two may ever hold one shard."""

    def __init__(self) -> None:
        super().__init__()
        self.book = handover.Handover()
        self.assignment = dict.fromkeys(SHARDS, "w0")
        self.generation = 0
        self.orders: dict[str, list[tuple[int, frozenset[str]]]] = {slot: [] for slot in SLOTS}
        self.held: dict[str, frozenset[str]] = dict.fromkeys(SLOTS, frozenset())
        self.done = dict.fromkeys(SLOTS, 0)
        self.reports: dict[str, list[tuple[int, frozenset[str]]]] = {slot: [] for slot in SLOTS}

    @stateful.rule(shard=st.sampled_from(SHARDS), slot=st.sampled_from(SLOTS))
    def move(self, shard: str, slot: str) -> None:
        self.assignment[shard] = slot

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def give(self, slot: str) -> None:
        shards = self.book.grantable(slot, self.assignment)
        self.generation += 1
        self.book.give(slot, shards, self.generation)
        self.orders[slot].append((self.generation, frozenset(shards)))

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def start(self, slot: str) -> None:
        """It begins what is new at once, and lets go of the rest later."""
        if self.orders[slot]:
            self.held[slot] |= self.orders[slot][0][1]

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def carry_out(self, slot: str) -> None:
        if self.orders[slot]:
            self.done[slot], self.held[slot] = self.orders[slot].pop(0)

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def report(self, slot: str) -> None:
        self.reports[slot].append((self.done[slot], self.held[slot]))

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def hear(self, slot: str) -> None:
        if self.reports[slot]:
            self.book.reported(slot, *self.reports[slot].pop(0))

    @stateful.rule(slot=st.sampled_from(SLOTS))
    def die(self, slot: str) -> None:
        self.held[slot], self.orders[slot], self.reports[slot] = frozenset(), [], []
        self.book.reaped(slot)

    @stateful.invariant()
    def one_holder(self) -> None:
        for shard in SHARDS:
            holders = {slot for slot in SLOTS if shard in self.held[slot]}
            assert len(holders) <= 1
            assert holders <= self.book.holders(shard)


TestWorkers = Workers.TestCase
TestWorkers.settings = hypothesis.settings(deadline=None, stateful_step_count=40)


def test_its_number_of_changes_stands_only_while_what_is_grantable_does() -> None:
    """By it the supervisor knows that it need not look again, at each turn of its loop."""
    hands, wanted = handover.Handover(), {"a": "w0", "b": "w0"}
    seen = {hands.changes: hands.grantable("w0", wanted)}

    def look() -> None:
        found = hands.grantable("w0", wanted)
        assert seen.setdefault(hands.changes, found) == found

    steps = (
        lambda: hands.give("w1", ["a"], 1),
        lambda: hands.give("w1", [], 2),
        lambda: hands.reported("w1", 1, ["a"]),
        lambda: hands.reported("w1", 2, []),
        lambda: hands.give("w1", ["b"], 3),
        lambda: hands.reaped("w1"),
    )
    for step in steps:
        step()
        look()
    assert {(), ("b",), ("a", "b"), ("a",)} >= {*seen.values()}
    assert len({*seen.values()}) > 1
