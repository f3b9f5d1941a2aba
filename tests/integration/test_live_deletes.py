"""Deletes that are seen live, where they are to wait: for their node, or a person."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import kazoo.client
import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages
from zk2etcd_workers.mirror import full_sync
from zk2etcd_workers.safety import live
from zk2etcd_workers.shard import dirty_paths

NEXT = messages.Identity("inst", "w0", 2)

GUARDED = {"delete_guard": {"live": {"min_deletes": 5, "max_ratio": 0.3}}}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done each second, or after one, is done sooner."""
    monkeypatch.setattr(live, "_TOLD_EVERY", 0.1)
    monkeypatch.setattr(full_sync, "_SETTLE", 0.1)


@contextlib.contextmanager
def _registered(world: mirroring.World, names: list[str]) -> Iterator[kazoo.client.KazooClient]:
    """Instances of one session; it ends with the block, if it has not before."""
    client = observing.connected(world.zookeeper)
    try:
        for name in names:
            client.create(world.path(name), name.encode(), ephemeral=True)
        yield client
    finally:
        client.stop()
        client.close()


def _instances(first: int = 0, count: int = 40) -> list[str]:
    return [f"i{number:03d}" for number in range(first, first + count)]


def _present(world: mirroring.World) -> set[str]:
    start = len(world.root) + 1
    return {key[start:].decode() for key in world.etcd.values(world.root)} - {""}


def _single_deletes_pass(world: mirroring.World) -> None:
    """It is as before the trip."""
    world.zk.create(world.path("one"), b"")
    world.equal()
    world.zk.delete(world.path("one"))
    world.equal()


def test_sessions_that_all_end_are_held_until_a_release(world: mirroring.World) -> None:
    """What is beyond the threshold stays, live too, over a full sync and another worker."""
    world.zk.ensure_path(world.path("kept"))
    with _registered(world, _instances()) as client:
        worker = world.worker(sync=GUARDED)
        worker.follows()
        before = world.equal()
        client.stop()
        report = worker.wait(
            lambda each: each.guard is not None and each.guard.deletes == 40 - 12,
            what="that all is told that is held",
        )
    assert report.guard is not None
    assert report.phase == "guarded"
    assert (report.guard.live, report.guard.present) == (True, len(before))
    assert "live deletes" in report.guard.reason
    assert worker.counts.trips == 1
    # Puts go on; what goes live is held, whatever it is.
    world.zk.create(world.path("after"), b"1")
    polling.until(lambda: "after" in _present(world), 10, what="a put")
    world.zk.delete(world.path("kept"))
    report = worker.wait(lambda each: each.guard and each.guard.deletes == 29, what="one more")
    worker.full_sync()
    held = _present(world)
    assert len(held) == 28 + 2
    worker.drain()
    second = world.worker(identity=NEXT, sync=GUARDED)
    trip = second.trip()
    assert (trip.live, trip.deletes) == (True, 29)
    world.zk.delete(world.path("after"))
    second.wait(lambda each: each.guard and each.guard.deletes == 30, what="another one")
    assert _present(world) == held
    report = second.wait(lambda each: each.guard and each.guard.deletes == 30)
    assert report.guard is not None
    second.release(report.guard.id)
    world.equal()
    second.wait(lambda each: each.phase == "following", what="that nothing is held")
    _single_deletes_pass(world)


def test_those_that_come_back_end_the_trip(world: mirroring.World) -> None:
    world.zk.ensure_path(world.root)
    with _registered(world, _instances()) as client:
        worker = world.worker(sync=GUARDED)
        worker.follows()
        world.equal()
        client.stop()
        worker.trip()
    with _registered(world, _instances()):
        world.equal()
        assert worker.full_sync().guard is None
        _single_deletes_pass(world)


def test_a_rollout_is_not_held(world: mirroring.World) -> None:
    """As many came as went, one after the other, over and over."""
    world.zk.ensure_path(world.root)
    with _registered(world, _instances()) as client:
        worker = world.worker(sync=GUARDED)
        worker.follows()
        for number in range(40):
            client.create(world.path(f"new{number:03d}"), b"", ephemeral=True)
            client.delete(world.path(f"i{number:03d}"))
        world.equal()
        report = worker.wait(lambda each: each.pending == 0)
        assert report.guard is None


def test_what_was_seen_before_an_overflow_is_held_too(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a live guard a walk exempts nothing."""
    monkeypatch.setattr(dirty_paths, "MOST", 50)
    world.zk.ensure_path(world.root)
    observing.seed(world.zk, [(world.path(f"n{number:04d}"), b"") for number in range(600)])
    worker = world.worker(sync=GUARDED)
    worker.follows()
    transaction = world.zk.transaction()
    for number in range(600):
        transaction.delete(world.path(f"n{number:04d}"))
    transaction.commit()
    trip = worker.trip()
    assert trip.deletes > 300
    worker.wait(
        lambda each: each.last_full_sync and each.last_full_sync.sequence > 1,
        what="a base: else nothing overflowed, and the test shows nothing",
    )
    assert len(_present(world)) > 300


def test_one_that_is_back_within_its_grace_never_went(world: mirroring.World) -> None:
    """Nothing but the new value is written."""
    world.zk.ensure_path(world.root)
    with _registered(world, ["i0", "i1"]):
        worker = world.worker(sync={"ephemeral_grace": 30.0})
        worker.follows()
        world.equal()
        revision = world.etcd.revision()
    polling.until(lambda: world.zk.exists(world.path("i0")) is None, 10, what="that it went")
    worker.full_sync()
    assert _present(world) == {"i0", "i1"}
    with _registered(world, ["i0"]) as client:
        client.set(world.path("i0"), b"other")
        polling.until(
            lambda: world.etcd.value(world.path("i0")) == b"other", 10, what="the new value"
        )
        watched = world.etcd.watch(revision + 1)
        world.zk.create(world.path("last"), b"")
        last = world.path("last").encode()
        polling.until(lambda: any(each.key == last for each in watched.events), 10, what="all")
    keys = {world.path("i0").encode(), world.path("i1").encode()}
    seen = {each.value for each in watched.events if each.key in keys}
    assert seen <= {b"i0", b"other"}
    assert b"other" in seen


def test_one_that_is_not_back_goes_after_its_grace(world: mirroring.World) -> None:
    world.zk.ensure_path(world.root)
    with _registered(world, ["i0"]) as client:
        worker = world.worker(sync={"ephemeral_grace": 0.8})
        worker.follows()
        world.zk.create(world.path("stays"), b"")
        world.equal()
        began = time.monotonic()
        world.zk.delete(world.path("stays"))
        client.delete(world.path("i0"))
        polling.until(lambda: _present(world) == {"i0"}, 10, what="the delete of another node")
        polling.until(lambda: not _present(world), 10, every=0.05, what="the delete")
        assert time.monotonic() - began >= 0.8
    assert worker.counts.fixes["delete"] == 0
    world.equal()


def test_those_that_wait_for_their_nodes_are_held_with_the_rest(world: mirroring.World) -> None:
    """So a cut that ends all sessions within the grace takes no key at all."""
    world.zk.ensure_path(world.root)
    with _registered(world, _instances()) as client:
        worker = world.worker(sync={**GUARDED, "ephemeral_grace": 20.0})
        worker.follows()
        world.equal()
        client.stop()
        worker.wait(lambda each: each.guard and each.guard.deletes == 40, what="all of them")
    assert _present(world) == set(_instances())


def _locks(world: mirroring.World, first: int, count: int) -> None:
    """Nodes that are gone before they can be read."""
    for number in range(first, first + count):
        transaction = world.zk.transaction()
        transaction.create(world.path(f"lock{number:04d}"), b"")
        transaction.delete(world.path(f"lock{number:04d}"))
        transaction.commit()


def test_nodes_that_never_had_a_key_are_no_loss(world: mirroring.World) -> None:
    """Locks and queues make such nodes all the time: they neither trip, nor count as held."""
    world.zk.ensure_path(world.root)
    observing.seed(world.zk, [(world.path(name), b"") for name in _instances()])
    worker = world.worker(sync=GUARDED)
    worker.follows()
    before = world.equal()
    _locks(world, 0, 60)
    world.zk.delete(world.path("i000"))
    polling.until(lambda: "i000" not in _present(world), 10, what="a delete")
    assert worker.wait(lambda each: each.pending == 0).guard is None
    # Those that count trip as ever, whatever goes beside them.
    for number in range(1, 16):
        _locks(world, 100 + number, 1)
        world.zk.delete(world.path(f"i{number:03d}"))
    worker.wait(lambda each: each.guard is not None and each.guard.deletes == 16 - 12, what="all")
    _locks(world, 200, 10)
    world.zk.delete(world.path("i020"))
    worker.wait(lambda each: each.guard is not None and each.guard.deletes >= 5, what="one more")
    time.sleep(0.3)
    trip = worker.wait(lambda each: each.pending == 0).guard
    assert trip is not None
    assert trip.deletes == 5
    assert len(_present(world)) == len(before) - 1 - 12
