"""Marks and what else a configuration may say: buckets, patterns that come later, deletes that are
not mirrored, a release, a single run.
"""

from __future__ import annotations

import dataclasses

from tests import polling
from tests.integration import marking, mirroring
from zk2etcd import messages


def _conflicts(worker: mirroring.Worker) -> int:
    return sum(report.conflicts for report in marking.reports(worker))


def _another(number: int) -> messages.Identity:
    return dataclasses.replace(mirroring.FIRST, instance=f"inst{number}")


def test_another_number_of_buckets_and_another(world: mirroring.World) -> None:
    """2, 4, 1: nothing of ours changes hands by that, and what strangers take is told once."""
    names = [f"n{number:02d}" for number in range(60)]
    marking.grown(world, [*names, *(f"{name}/leaf" for name in names)])
    world.etcd.put(world.path("n03"), b"theirs")
    whole = marking.marked(world.root, world.root)
    wanted = {world.root, *map(world.path, names), *(world.path(name, "leaf") for name in names)}
    theirs = {world.path("n03")}
    for number, buckets in enumerate((2, 4, 1), 1):
        shards = marking.split(world.root, world.root, buckets)
        worker = world.worker(shards=shards, identity=_another(number))
        worker.follows(30)
        polling.until(lambda: _conflicts(worker) == len(theirs))  # noqa: B023
        assert marking.marks(world, whole) == wanted - theirs
        # In each split, one is taken, one changed, one goes with what is below it.
        taken, changed, gone = (world.path(f"n{number}{last}") for last in range(3))
        world.etcd.delete(taken)
        world.etcd.put(taken, b"theirs")
        world.zk.set(taken, b"new")
        world.zk.set(changed, b"new")
        world.zk.delete(gone, recursive=True)
        theirs.add(taken)
        wanted -= {gone, f"{gone}/leaf"}
        polling.until(lambda: world.etcd.value(changed) == b"new")  # noqa: B023
        polling.until(lambda: world.etcd.value(gone) is None)  # noqa: B023
        polling.until(lambda: world.etcd.value(f"{gone}/leaf") is None)  # noqa: B023
        polling.until(lambda: _conflicts(worker) == len(theirs))  # noqa: B023
        worker.full_sync()
        polling.until(lambda: marking.marks(world, whole) == wanted - theirs)  # noqa: B023
        assert [report.guard for report in marking.reports(worker)] == [None] * buckets
        worker.drain()
    found = world.etcd.values(world.root)
    assert found.keys() == {key.encode() for key in wanted}
    assert {found[key.encode()] for key in theirs} == {b"theirs"}


def test_what_is_excluded_later_stays_ours(world: mirroring.World) -> None:
    """It is left as it was, with its marks; and is mirrored again once it is not excluded."""
    marking.grown(world, ["a", "in", "in/a", "in/b", "in/c"])
    shard = marking.marked(world.root, world.root)
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    before = marking.marks(world, shard)
    narrow = dataclasses.replace(shard, exclude=(world.path("in"),))
    worker = world.worker(shards=[narrow], identity=marking.SECOND)
    worker.follows()
    world.zk.set(world.path("in", "a"), b"new")
    world.zk.delete(world.path("in", "b"))
    world.zk.create(world.path("in", "d"), b"ours")
    world.etcd.put(world.path("in", "d"), b"theirs")
    report = worker.full_sync()
    assert (report.conflicts, report.guard) == (0, None)
    assert marking.marks(world, shard) == before
    assert world.etcd.value(world.path("in", "a")) == b"ours"
    worker.drain()
    worker = world.worker(shards=[shard])
    report = worker.follows()
    assert (report.conflict_paths, report.guard) == ((world.path("in", "d"),), None)
    polling.until(lambda: world.etcd.value(world.path("in", "a")) == b"new")
    polling.until(lambda: world.etcd.value(world.path("in", "b")) is None)
    assert marking.marks(world, shard) == before - {world.path("in", "b")}


def test_deletes_that_are_not_mirrored(world: mirroring.World) -> None:
    """`deletes: never`: what its node left stays ours, and is no conflict when it comes back."""
    marking.grown(world, ["a", "b", "c"])
    shard = marking.marked(world.root, world.root)
    worker = world.worker(shards=[shard], sync={"deletes": "never"})
    worker.follows()
    for name in ("a", "b"):
        world.zk.delete(world.path(name))
    world.etcd.delete(world.path("b"))
    world.etcd.put(world.path("b"), b"theirs")
    assert worker.full_sync().conflicts == 0
    polling.until(lambda: world.path("b") not in marking.marks(world, shard))
    assert world.etcd.value(world.path("a")) == b"ours"
    for name in ("a", "b"):
        world.zk.create(world.path(name), b"new")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"new")
    worker.wait(lambda report: report.conflict_paths == (world.path("b"),))
    assert worker.full_sync().conflicts == 1
    assert world.etcd.value(world.path("b")) == b"theirs"


def test_what_is_released_is_ours_alone(world: mirroring.World) -> None:
    """While the guard holds, a stranger takes some of what is held, and others get lost."""
    names = [f"n{number:03d}" for number in range(150)]
    marking.grown(world, names)
    shard = marking.marked(world.root, world.root)
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    for name in names[:120]:
        world.zk.delete(world.path(name))
    worker = world.worker(shards=[shard], identity=marking.SECOND)
    trip = worker.trip()
    assert (trip.deletes, trip.present) == (120, 151)
    world.etcd.delete(world.path("n000"))
    world.etcd.put(world.path("n000"), b"theirs")
    world.etcd.delete(world.path("n001"))
    world.etcd.delete(marking.base(world, shard) + world.path("n002"))
    worker.release(trip.id)
    worker.wait(lambda report: report.guard is None and report.phase == "following")
    left = {world.root, *map(world.path, ["n000", "n002", *names[120:]])}
    polling.until(lambda: {key.decode() for key in world.etcd.below(world.root)} == left)
    worker.full_sync()
    polling.until(
        lambda: marking.marks(world, shard) == left - {world.path("n000"), world.path("n002")}
    )
    assert worker.full_sync().conflicts == 0, "nobody wants them"


def test_a_single_run_says_what_it_left_out(world: mirroring.World) -> None:
    marking.grown(world, ["a", "b"])
    world.etcd.put(world.path("a"), b"theirs")
    shards = marking.split(world.root, world.root, 2)
    worker = world.worker(shards=shards, once=True)
    worker.follows()
    polling.until(lambda: _conflicts(worker) == 1)
    assert world.etcd.value(world.path("b")) == b"ours"
