from __future__ import annotations

from tests.unit import fakes
from zk2etcd import conditions, messages
from zk2etcd.policy import run_once

GUARD = conditions.Guard("g1", "deletes", 500, 1000, (), 0.0)


def verdict(
    *reports: messages.ShardReport, failures: int = 0, waited: float = 1.0
) -> run_once.Verdict | None:
    return run_once.verdict(reports, {"w0": failures}, waited, patience=30.0)


def test_all_finished_is_0() -> None:
    assert verdict(fakes.follows("a"), fakes.follows("b")) == run_once.Verdict(0)


def test_one_that_is_not_finished_is_waited_for() -> None:
    running = messages.ShardReport("b", "full_sync", full_sync_running=True)
    assert verdict(fakes.follows("a"), running) is None
    assert verdict(messages.ShardReport("b", "error", error="away", attempt=4)) is None


def test_guarded_or_unsyncable_is_1_and_named() -> None:
    guarded = verdict(fakes.follows("a", guard=GUARD, phase="guarded"))
    assert guarded is not None
    assert guarded.exit_code == 1
    assert "a is guarded: deletes would delete 500 of 1000" in guarded.reason
    poisoned = verdict(fakes.follows("b", unsyncable_total=3), fakes.follows("a"))
    assert poisoned is not None
    assert poisoned.exit_code == 1
    assert "b has 3 paths" in poisoned.reason
    shared = verdict(fakes.follows("b", conflicts=2), fakes.follows("a"))
    assert shared is not None
    assert shared.exit_code == 1
    assert "b has 2 nodes with somebody else's keys" in shared.reason


def test_paused_is_an_end_and_no_success() -> None:
    pause = conditions.Paused("alice", 0.0)
    held = verdict(messages.ShardReport("a", "paused", owned=True, pause=pause))
    assert held is not None
    assert held.exit_code == 1
    assert "shard a is paused since 1970-01-01" in held.reason


def test_what_is_kept_is_not_equal() -> None:
    kept = verdict(fakes.follows("a", kept=conditions.Kept("k", 3, ("/a/f/i",), 1.0)))
    assert kept is not None
    assert kept.exit_code == 1
    assert kept.reason == "shard a keeps 3 keys, each the last of its folder"


def test_a_guard_on_first_contact_is_an_end() -> None:
    held = verdict(messages.ShardReport("a", "guarded", owned=True, guard=GUARD))
    assert held is not None
    assert held.exit_code == 1


def test_an_error_that_stays_is_3_with_its_reason() -> None:
    failed = verdict(
        fakes.follows("b"), messages.ShardReport("a", "error", error="no route", attempt=5)
    )
    assert failed == run_once.Verdict(3, "shard a: no route")


def test_another_owner_is_waited_for_so_long() -> None:
    waiting = messages.ShardReport("a", "waiting", holder="other w1")
    assert verdict(waiting, waited=30.0) is None
    assert verdict(waiting, waited=30.1) == run_once.Verdict(3, "shard a is owned by other w1")


def test_a_worker_that_keeps_ending_is_a_bug() -> None:
    starting = messages.ShardReport("a", "waiting")
    assert verdict(starting, failures=4) is None
    found = verdict(starting, failures=5)
    assert found is not None
    assert found.exit_code == 70
