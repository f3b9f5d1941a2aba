from __future__ import annotations

from tests.unit import fakes
from zk2etcd import conditions, messages
from zk2etcd.policy import lifecycle, reports, roster
from zk2etcd.supervisor import fleet, overview
from zk2etcd.view import published


def state(
    *reports: messages.ShardReport, settled: str = "ab", waits: bool = False, uptime: float = 1.0
) -> published.State:
    return overview.state(reports, waits, set(settled), uptime)


FULL_SYNC = messages.ShardReport("a", "full_sync", owned=True)
STANDBY = messages.ShardReport("a", "waiting", holder="other")


def test_starting_lasts_until_each_shard_was_in_order_or_a_minute() -> None:
    assert state(FULL_SYNC, settled="") == "starting"
    assert state(FULL_SYNC, fakes.follows("b"), settled="b") == "starting"
    assert state(FULL_SYNC, settled="", uptime=60.0) == "ready"
    assert state(FULL_SYNC, settled="a") == "ready"


def test_a_shard_in_error_decides_before_the_minute_is_over() -> None:
    failed = messages.ShardReport("a", "error", error="away")
    assert state(failed, settled="") == "degraded"
    assert state(failed, messages.ShardReport("b", "full_sync"), settled="") == "starting"


def test_degraded_by_error_guard_or_a_waiting_worker() -> None:
    assert state(fakes.follows("a"), messages.ShardReport("b", "error")) == "degraded"
    assert state(messages.ShardReport("a", "guarded", owned=True)) == "degraded"
    assert state(fakes.follows("a"), waits=True) == "degraded"


def test_standby_owns_nothing_and_knows_the_holder() -> None:
    assert state(STANDBY) == "standby"
    assert state(STANDBY, fakes.follows("b")) == "ready"


def test_an_orphan_says_whose_end_it_was_and_keeps_how_fresh_it_is() -> None:
    work = conditions.Work("full_sync", 9, 8, 0, 100.0, 2.0)
    last = fakes.follows("a", synced_at=5.0, pending=3, work=work, full_sync_running=True)
    assert reports.released(last).work is None
    orphan = reports.orphaned(last, "w1", -9)
    assert orphan.work is None
    assert (orphan.phase, orphan.owned, orphan.synced_at) == ("error", False, 5.0)
    assert "w1 ended with signal 9" in str(orphan.error)


def test_workers_show_slots_with_shards_or_a_process_only() -> None:
    idle, busy = fleet.Slot("w0"), fleet.Slot("w1")
    busy.life = lifecycle.Worker(lifecycle.State.BACKOFF, restarts=4)
    busy.last_exit = 1
    (view,) = overview.workers([idle, busy], {"a": "w1"}, {}, 10.0)
    assert (view.slot, view.state, view.restarts, view.last_exit) == ("w1", "backoff", 4, 1)
    assert (view.pid, view.heartbeat_age_seconds, view.zk_connected) == (None, None, False)


def test_heartbeat_age_counts_from_the_slowest_mirror() -> None:
    slot = fleet.Slot("w0", heard_at=8.0, report=messages.Report("w0", 1, 1, (), (), 1.5, True))
    slot.child = fakes.Child(messages.WorkerSpec(*([None] * 4)))  # type: ignore[arg-type]
    (view,) = overview.workers([slot], {}, {"w0": (100, 2.0)}, 10.0)
    assert view.heartbeat_age_seconds == 3.5
    assert (view.resident_bytes, view.cpu_seconds, view.zk_connected) == (100, 2.0, True)


def seen(known: roster.Roster, report: messages.ShardReport, now: float) -> float | None:
    known.show(report)
    known.look(now)
    (view,) = overview.shards(known, now, 0.0)
    return view.unserved_seconds


def test_how_long_nobody_mirrors_a_shard_counts_from_when_it_was_last_in_order() -> None:
    known = roster.Roster()
    known.shards = {"a": messages.Shard("a", "/a", "/a")}
    good = fakes.follows("a")
    assert seen(known, good, 1.0) is None
    assert seen(known, reports.orphaned(good, "w0", -9), 2.0) == 0.0
    assert seen(known, messages.ShardReport("a", "waiting"), 3.0) == 1.0
    assert seen(known, messages.ShardReport("a", "full_sync", owned=True), 4.0) is None
    assert seen(known, reports.orphaned(good, "w0", -9), 5.0) == 3.0
    assert seen(known, good, 6.0) is None
    assert seen(known, reports.orphaned(good, "w0", -9), 7.0) == 0.0
    assert seen(known, STANDBY, 8.0) is None
