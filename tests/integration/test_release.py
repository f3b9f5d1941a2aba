"""Deletes that the guard holds: they go when a person who saw them says so, and only those."""

from __future__ import annotations

from typing import Any

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import conditions, messages
from zk2etcd_workers.ownership import records

GUARD: dict[str, Any] = {"delete_guard": {"min_deletes": 5, "max_ratio": 0.3, "max_deletes": 8}}
NEXT = messages.Identity("inst", "w0", 2)
REAPED = {"w0": 1}


def gone_meanwhile(world: mirroring.World, count: int) -> tuple[mirroring.Worker, conditions.Guard]:
    """20 nodes were mirrored, `count` of them went away unseen: a worker whose guard tripped."""
    world.zk.create(world.root, b"")
    observing.seed(world.zk, [(world.path(f"n{number:02d}"), b"") for number in range(20)])
    first = world.worker(sync=GUARD)
    assert first.follows().guard is None
    first.drain()
    for number in range(count):
        world.zk.delete(world.path(f"n{number:02d}"))
    worker = world.worker(sync=GUARD, identity=NEXT)
    guard = worker.follows().guard
    assert guard is not None
    return worker, guard


@pytest.mark.parametrize("count", [7, 12])
def test_a_release_deletes_what_was_shown(world: mirroring.World, count: int) -> None:
    """Also more than `max_deletes`, of which a base remembers no more as a rule."""
    foreign = f"{world.root}//foreign"
    world.etcd.put(foreign, b"v")
    worker, guard = gone_meanwhile(world, count)
    assert guard.deletes == count
    record = f"{world.state}/guards/{worker.shards[0].id}"
    assert world.etcd.get(record)

    worker.release(guard.id)
    worker.wait(lambda report: report.phase == "following", what="the deletes")
    assert world.etcd.values(world.root) == {**world.wanted(), foreign.encode(): b"v"}
    assert world.etcd.get(record) is None
    assert worker.counts.fixes["delete"] == 0, "what a person let go was no repair"
    # It counted once: what is missing the next time is another case.
    worker.drain()
    for number in range(13, 20):
        world.zk.delete(world.path(f"n{number:02d}"), recursive=True)
    again = world.worker(sync=GUARD, identity=messages.Identity("inst", "w0", 3))
    second = again.follows().guard
    assert second is not None
    assert second.id != guard.id
    again.release(guard.id)
    assert again.full_sync().guard == second


def test_a_release_of_another_trip_changes_nothing(world: mirroring.World) -> None:
    worker, guard = gone_meanwhile(world, 7)
    worker.release("another")
    assert worker.full_sync().guard == guard
    assert len(world.etcd.values(world.root)) == 21


def test_more_deletes_than_were_shown_stay_held(world: mirroring.World) -> None:
    """The person saw 7; by now an eighth is missing, that nobody saw going either."""
    worker, guard = gone_meanwhile(world, 7)
    world.etcd.put(world.path("theirs"), b"")
    worker.release(guard.id)
    grown = worker.wait(lambda report: report.guard is not None and report.guard.id != guard.id)
    assert grown.guard is not None
    assert grown.guard.deletes == 8
    assert len(world.etcd.values(world.root)) == 22
    worker.release(grown.guard.id)
    worker.wait(lambda report: report.phase == "following", what="the deletes")
    assert world.etcd.values(world.root) == world.wanted()


def test_what_came_back_is_not_deleted(world: mirroring.World) -> None:
    worker, guard = gone_meanwhile(world, 7)
    world.zk.create(world.path("n00"), b"back")
    polling.until(lambda: world.etcd.value(world.path("n00")) == b"back")
    worker.release(guard.id)
    worker.wait(lambda report: report.phase == "following", what="the deletes")
    assert world.etcd.values(world.root) == world.wanted()
    assert world.etcd.value(world.path("n00")) == b"back"


def test_a_trip_outlives_its_worker_and_is_released_by_its_successor(
    world: mirroring.World,
) -> None:
    worker, guard = gone_meanwhile(world, 7)
    worker.drain()
    heir = world.worker(sync=GUARD, identity=messages.Identity("standby", "w3", 1))
    assert heir.follows().guard == guard
    heir.release(guard.id)
    heir.wait(lambda report: report.phase == "following", what="the deletes")
    assert world.etcd.values(world.root) == world.wanted()


def test_a_walk_that_was_cut_off_does_not_wash_the_ratio_out(world: mirroring.World) -> None:
    """7 of 20 keys were missing when a base began; it died after 80 new ones were put."""
    worker, guard = gone_meanwhile(world, 7)
    worker.drain()
    record = f"{world.state}/guards/{worker.shards[0].id}"
    world.etcd.put(record, records.GuardRecord(21, first=False).to_bytes())
    fresh = [(world.path(f"new{number:02d}"), b"") for number in range(80)]
    observing.seed(world.zk, fresh)
    world.etcd.put_many(fresh)
    again = world.worker(sync=GUARD, identity=messages.Identity("inst", "w0", 3))
    found = again.follows().guard
    assert found is not None, "7 of 101 are few, but it was 7 of 21"
    assert (found.deletes, found.present) == (7, 21)
    assert found.id != guard.id


def test_what_registered_anew_under_its_name_replaces_nothing_after_a_walk_that_was_cut_off(
    world: mirroring.World,
) -> None:
    """7 of 20 keys were missing when a base began, and the 13 others had been made anew."""
    worker, guard = gone_meanwhile(world, 7)
    shard = worker.shards[0].id
    worker.drain()
    checkpoint = world.etcd.value(f"{world.state}/checkpoints/{shard}")
    assert checkpoint is not None
    since = records.decode_zxid(checkpoint)
    record = records.GuardRecord(21, first=False, since=since)
    world.etcd.put(f"{world.state}/guards/{shard}", record.to_bytes())
    for path, value in world.wanted().items():
        if path != world.root.encode():
            world.zk.delete(path.decode())
            world.zk.create(path.decode(), value)
    again = world.worker(sync=GUARD, identity=messages.Identity("inst", "w0", 3))
    found = again.follows().guard
    assert found is not None, "as many came anew as went, but none of them is another one"
    assert (found.deletes, found.creates, found.id != guard.id) == (7, 0, True)
