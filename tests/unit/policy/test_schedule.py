from __future__ import annotations

import random

from hypothesis import given, settings, strategies as st

from zk2etcd import conditions, messages
from zk2etcd.policy import schedule

NAMES = ("a", "b", "c", "d")


def report(
    shard: str, sequence: int = 1, *, running: bool = False, phase: messages.Phase = "following"
) -> messages.ShardReport:
    result = conditions.FullSyncResult(sequence, 0.0, 1.0, 0, 0) if sequence else None
    return messages.ShardReport(
        id=shard, phase=phase, last_full_sync=result, full_sync_running=running
    )


def based(
    names: tuple[str, ...] = NAMES, interval: float = 100.0, concurrency: int = 1
) -> schedule.Schedule:
    """Shards whose bases ended at 0."""
    plan = schedule.reshaped(schedule.Schedule(), names, interval, concurrency, 0.0)
    for shard in names:
        plan = schedule.reported(plan, shard, report(shard), 0.0)
    return plan


def test_first_full_syncs_are_spread_over_the_interval() -> None:
    plan = based()
    assert [schedule.next_at(plan, shard) for shard in NAMES] == [25.0, 50.0, 75.0, 100.0]
    assert schedule.due(plan, 24.9)[1] == ()
    assert schedule.due(plan, 25.0)[1] == ("a",)


def test_the_interval_counts_from_the_last_completion() -> None:
    plan = schedule.due(based(("a",)), 100.0)[0]
    plan = schedule.reported(plan, "a", report("a", 1, running=True), 101.0)
    plan = schedule.reported(plan, "a", report("a", 2), 130.0)
    assert schedule.next_at(plan, "a") == 230.0


def test_no_more_run_at_once_than_allowed_and_a_base_counts() -> None:
    plan = schedule.asked(based(concurrency=2), NAMES, 1.0)
    plan = schedule.reported(plan, "d", report("d", 1, running=True), 1.0)
    plan, started = schedule.due(plan, 1.0)
    assert started == ("a",)
    assert schedule.due(plan, 2.0)[1] == ()
    plan = schedule.reported(plan, "d", report("d", 2), 3.0)
    assert schedule.due(plan, 3.0)[1] == ("b",)


def grouped(interval: float = 100.0, concurrency: int = 1) -> schedule.Schedule:
    """`a` and `c` are buckets of one prefix on one worker."""
    plan = based(interval=interval)
    groups = dict.fromkeys("ac", "of one prefix")
    return schedule.reshaped(plan, NAMES, interval, concurrency, 0.0, groups)


def test_buckets_of_a_prefix_start_together_and_count_as_one() -> None:
    plan = schedule.asked(grouped(concurrency=2), NAMES, 1.0)
    plan, started = schedule.due(plan, 1.0)
    assert started == ("a", "c", "b")
    plan = schedule.reported(plan, "a", report("a", 2), 2.0)
    assert schedule.due(plan, 2.0)[1] == ()
    assert schedule.wakes_at(plan) is None
    plan = schedule.reported(plan, "c", report("c", 2), 3.0)
    assert schedule.due(plan, 3.0)[1] == ("d",)


def test_another_of_the_group_waits_until_none_is_at_it() -> None:
    plan, started = schedule.due(schedule.asked(grouped(concurrency=2), "a", 1.0), 1.0)
    assert started == ("a",), "the other one would not be due for long"
    plan = schedule.asked(plan, "c", 2.0)
    assert schedule.due(plan, 2.0)[1] == ()
    plan = schedule.reported(plan, "a", report("a", 2), 3.0)
    assert schedule.due(plan, 3.0)[1] == ("c",)


def test_what_would_be_due_soon_comes_along_with_its_group() -> None:
    assert schedule.due(grouped(), 30.0)[1] == ("a", "c"), "at 25 and at 75"
    never = grouped(interval=0.0)
    assert schedule.due(schedule.asked(never, "a", 1.0), 1.0)[1] == ("a",)


def test_first_full_syncs_of_a_group_are_due_at_the_same_time() -> None:
    groups = dict.fromkeys("ac", "of one prefix")
    plan = schedule.reshaped(schedule.Schedule(), NAMES, 90.0, 1, 0.0, groups)
    for shard in NAMES:
        plan = schedule.reported(plan, shard, report(shard), 0.0)
    assert [schedule.next_at(plan, shard) for shard in NAMES] == [30.0, 60.0, 30.0, 90.0]


def test_what_is_asked_for_goes_first_in_the_order_of_asking() -> None:
    plan = schedule.asked(based(), ["d"], 30.0)
    plan = schedule.asked(plan, ["c", "d"], 31.0)
    plan, started = schedule.due(plan, 50.0)
    assert started == ("d",)
    plan = schedule.reported(plan, "d", report("d", 2), 51.0)
    assert schedule.due(plan, 51.0)[1] == ("c",)


def test_an_interval_of_zero_leaves_only_what_is_asked_for() -> None:
    plan = based(interval=0.0)
    assert schedule.due(plan, 1e9)[1] == ()
    assert schedule.next_at(plan, "a") is None
    assert schedule.due(schedule.asked(plan, ["b"], 5.0), 5.0)[1] == ("b",)


def test_asked_for_during_a_base_waits_and_then_runs() -> None:
    plan = based(("a",))
    plan = schedule.reported(plan, "a", report("a", running=True, phase="full_sync"), 10.0)
    plan = schedule.asked(plan, ["a"], 11.0)
    assert schedule.due(plan, 12.0)[1] == ()
    plan = schedule.reported(plan, "a", report("a", 2), 13.0)
    assert schedule.due(plan, 13.0)[1] == ("a",)


def test_a_death_frees_the_place() -> None:
    plan, started = schedule.due(schedule.asked(based(), ["a", "b"], 1.0), 1.0)
    assert started == ("a",)
    assert schedule.due(schedule.lost(plan, "a"), 2.0)[1] == ("b",)


def test_a_new_mirror_that_counts_from_one_again_is_noticed() -> None:
    plan = schedule.lost(based(("a",)), "a")
    plan = schedule.reported(plan, "a", report("a", 0, phase="full_sync"), 40.0)
    plan = schedule.reported(plan, "a", report("a", 1), 50.0)
    assert schedule.next_at(plan, "a") == 150.0


def test_a_start_that_a_mirror_forgot_frees_the_place_and_is_asked_again() -> None:
    plan, _ = schedule.due(schedule.asked(based(), ["a", "b"], 1.0), 1.0)
    late = 1.0 + schedule.START_TIMEOUT
    plan = schedule.reported(plan, "a", report("a"), late)
    assert schedule.due(plan, late)[1] == ()
    plan = schedule.reported(plan, "a", report("a"), late + 0.1)
    plan, started = schedule.due(plan, late + 0.1)
    assert started == ("b",)
    assert schedule.next_at(plan, "a") == late + 0.1 + schedule.ASK_AGAIN


def test_one_that_ended_without_completing_frees_the_place() -> None:
    plan, _ = schedule.due(schedule.asked(based(), ["a", "b"], 1.0), 1.0)
    plan = schedule.reported(plan, "a", report("a", running=True), 2.0)
    plan = schedule.reported(plan, "a", report("a", phase="error"), 3.0)
    assert schedule.due(plan, 3.0)[1] == ("b",)


def test_a_shard_that_cannot_start_is_not_asked() -> None:
    phases: tuple[messages.Phase, ...] = ("waiting", "error", "paused")
    for phase in phases:
        plan = schedule.reported(based(("a",)), "a", report("a", phase=phase), 1.0)
        assert schedule.due(plan, 1000.0)[1] == ()
        assert schedule.wakes_at(plan) is None


def test_a_shorter_interval_pulls_the_next_one_in() -> None:
    plan = schedule.reshaped(based(), ("b", "d", "new"), 10.0, 3, 20.0)
    assert [schedule.next_at(plan, shard) for shard in ("b", "d", "new")] == [30.0, 30.0, None]
    assert schedule.next_at(plan, "a") is None


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 4), st.randoms(use_true_random=False))
def test_every_shard_gets_its_turn_within_bounds(
    count: int, concurrency: int, rng: random.Random
) -> None:
    names = tuple(f"s{index}" for index in range(count))
    plan = based(names, interval=20.0, concurrency=concurrency)
    sequences = dict.fromkeys(names, 1)
    running: dict[str, int] = {}
    for second in range(1, 200):
        now = float(second)
        plan, started = schedule.due(plan, now)
        running.update({shard: second + rng.randint(1, 4) for shard in started})
        assert len(running) <= concurrency
        for shard, end in list(running.items()):
            if end <= second:
                sequences[shard] += 1
                del running[shard]
        for shard in names:
            told = report(shard, sequences[shard], running=shard in running)
            plan = schedule.reported(plan, shard, told, now)
    assert all(sequence >= 4 for sequence in sequences.values())


@given(st.integers(1, 6), st.lists(st.floats(0, 50), max_size=20))
def test_nothing_is_due_before_it_says_so(count: int, waits: list[float]) -> None:
    names = tuple(f"s{index}" for index in range(count))
    plan, now = based(names, concurrency=count), 0.0
    for wait in waits:
        wakes_at = schedule.wakes_at(plan)
        now += wait
        plan, started = schedule.due(plan, now)
        assert not started or (wakes_at is not None and wakes_at <= now)
