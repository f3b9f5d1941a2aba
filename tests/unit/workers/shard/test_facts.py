"""Which of a shard's facts change together, and what is told of them."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import cast

import pytest

from zk2etcd import conditions, messages
from zk2etcd.logs import logger
from zk2etcd_workers.model import pacing
from zk2etcd_workers.ownership import records
from zk2etcd_workers.shard import facts
from zk2etcd_workers.walk import snapshot

TRIP = records.new_trip("too many", 9, 10, ("/a",), 1.0)
PAUSE = conditions.Paused("alice", 1.0)


def told(of: facts.Facts) -> messages.ShardReport:
    return of.report("s", "bulk")


def failed() -> facts.Facts:
    """A shard that failed while it followed, and is about to try again."""
    one = facts.Facts()
    one.owns()
    one.follows()
    one.attempt = 2
    one.fails("no session", 7.0, "t1")
    return one


def walked(nodes: int, largest: int, opaque: int = 0) -> snapshot.Walk:
    return cast(snapshot.Walk, types.SimpleNamespace(nodes=nodes, largest=largest, opaque=opaque))


def test_a_failure_is_told_with_its_next_attempt() -> None:
    shown = told(failed())
    assert (shown.phase, shown.error, shown.retry_at) == ("error", "no session", 7.0)
    assert (shown.error_trace_id, shown.attempt, shown.owned) == ("t1", 2, True)


def test_an_error_that_repeats_keeps_the_trace_of_its_first() -> None:
    one = failed()
    one.fails("no session", 9.0, "t2")
    assert (told(one).retry_at, told(one).error_trace_id) == (9.0, "t1")
    one.fails("another", 9.0, "t3")
    assert told(one).error_trace_id == "t3"


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        (lambda one: one.waits_for("b/w0.1"), "waiting"),
        (lambda one: one.is_held(TRIP), "guarded"),
        (lambda one: one.rests(), "paused"),
        (lambda one: one.follows(), "following"),
    ],
)
def test_where_a_shard_stands_still_or_follows_no_error_stands(
    step: Callable[[facts.Facts], None], phase: messages.Phase
) -> None:
    one = failed()
    step(one)
    shown = told(one)
    assert shown.phase == phase
    assert (shown.error, shown.retry_at, shown.error_trace_id) == (None, None, None)


def test_an_error_stands_until_the_base_after_it_has_ended() -> None:
    one = failed()
    one.walks("t2")
    shown = told(one)
    assert (shown.phase, shown.full_sync_running) == ("full_sync", True)
    assert (shown.error, shown.error_trace_id, one.trace_id) == ("no session", "t1", "t2")


def test_the_pause_of_a_shard_that_another_owns_is_not_ours_to_tell() -> None:
    one = facts.Facts()
    one.pause = PAUSE
    one.waits_for("b/w0.1")
    assert (told(one).holder, told(one).pause) == ("b/w0.1", None)
    one.owns()
    assert (told(one).holder, told(one).owned) == (None, True)


def test_a_trip_ends_the_full_sync_that_was_shown() -> None:
    one = facts.Facts()
    one.walks("t")
    one.is_held(TRIP)
    assert (told(one).guard, told(one).full_sync_running) == (TRIP, False)


def test_a_shard_that_follows_under_a_trip_is_guarded() -> None:
    one = facts.Facts()
    one.follows()
    one.guard = TRIP
    assert told(one).phase == "guarded"


def test_a_pause_forgets_what_was_under_way() -> None:
    one = failed()
    one.walks("t")
    one.pending = 4
    one.rests()
    assert (told(one).full_sync_running, told(one).pending, told(one).attempt) == (False, 0, 0)


def test_only_what_was_paused_waits_after_a_resume() -> None:
    one = facts.Facts()
    one.rests()
    one.resumed()
    assert told(one).phase == "waiting"
    one.follows()
    one.resumed()
    assert told(one).phase == "following"


def test_the_zxid_never_falls_and_writes_add_up() -> None:
    one = facts.Facts()
    one.wrote(2, 9)
    one.wrote(3, 5)
    assert (told(one).written, told(one).zxid) == (5, 9)


def test_the_next_walk_is_expected_to_find_what_the_last_one_did() -> None:
    one = facts.Facts()
    assert one.expected() == 0
    one.found(walked(nodes=100, largest=7), 90, 0)
    one.keys = 95
    assert (one.largest, one.expected(), told(one).progress) == (7, 105, (100, 100))
    one.walks("t")
    assert told(one).progress == (0, 105)


def test_each_full_sync_that_ends_well_is_counted() -> None:
    one = facts.Facts()
    one.walks("t")
    one.completed(1.5, 3, 2)
    one.completed(0.5, 0, 0)
    last = told(one).last_full_sync
    assert last is not None
    assert (last.sequence, last.put, last.delete) == (2, 0, 0)
    assert not told(one).full_sync_running


def test_a_blind_shard_is_in_error_although_it_follows_and_stays_so_over_a_start() -> None:
    one = failed()
    one.follows()
    one.goes_blind("the root may not be read", "t9")
    assert (told(one).phase, told(one).error) == ("error", "the root may not be read")
    assert told(one).error_trace_id == "t9"
    one.walks("t10")
    assert (told(one).phase, told(one).error) == ("full_sync", "the root may not be read")
    one.follows()
    assert told(one).phase == "error"
    one.sees()
    assert (told(one).phase, told(one).error) == ("following", None)


def test_why_it_took_stock_again_stays_known() -> None:
    one = facts.Facts()
    one.starts_over("the server was put back", "t1")
    one.follows()
    last = told(one).started_over
    assert last is not None
    assert (last.reason, last.trace_id) == ("the server was put back", "t1")


def test_another_owner_says_what_is_somebody_elses() -> None:
    """Else it is told of, and alarmed about, for as long as we wait."""
    one = facts.Facts()
    one.conflicts.add([b"/a/x"], logger.get())
    assert (told(one).conflicts, told(one).conflict_paths) == (1, ("/a/x",))
    one.waits_for("b/w0.1")
    assert (told(one).conflicts, told(one).conflict_paths) == (0, ())


def test_another_owner_says_what_cannot_be_mirrored() -> None:
    """Here it stays known, to compare with."""
    one = facts.Facts()
    one.owns()
    one.follows()
    one.unsyncable.add(b"/a", "too large", logger.get())
    assert told(one).unsyncable_total == 1
    one.waits_for("other")
    assert (told(one).unsyncable_total, told(one).unsyncable) == (0, ())
    one.owns()
    one.follows()
    assert told(one).unsyncable_total == 1


def test_a_large_value_that_was_seen_is_known_to_the_next_base_and_small_ones_are_not() -> None:
    one = facts.Facts()
    assert one.large is None
    one.found(walked(nodes=100, largest=pacing.KNOWN_SMALL), 100, 0)
    assert one.large is None
    one.largest = pacing.KNOWN_SMALL + 1
    assert one.large == pacing.KNOWN_SMALL + 1


@pytest.mark.parametrize(
    ("extra", "opaque", "sized"), [(0, 0, 500), (4, 6, 500), (11, 0, 0), (0, 11, 0)]
)
def test_of_what_no_node_tells_the_size_in_etcd_nothing_is_known(
    extra: int, opaque: int, sized: int
) -> None:
    one = facts.Facts()
    one.keys = 500
    one.found(walked(nodes=500, largest=7, opaque=opaque), 500, extra)
    assert one.sized == sized
    one.found(walked(nodes=500, largest=7), 500, 0)
    assert one.sized == 500
