"""Shards of one worker share a session. When its ensemble is replaced by one that is behind, a
person releases them one after another: who is released mirrors, whatever the others still want."""

from __future__ import annotations

import threading
import time

import pytest

from tests import polling, proxy
from tests.integration import mirroring, observing, test_identity
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import connecting

QUICK = {"session_timeout": 2.0, "connect_timeout": 2.0}
HEIR = messages.Identity("inst", "w0", 3)
ROOTS = ("/first", "/second")
SHARDS = tuple(mirroring.shard(root, root) for root in ROOTS)


@pytest.fixture
def wiped(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
) -> mirroring.World:
    """Two prefixes were mirrored by a worker that is gone; what answers now has one node of each,
    of five."""
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    for root in ROOTS:
        observing.seed(
            fresh_world.zk,
            [(root, b"old"), *((f"{root}/n{number}", b"old") for number in range(4))],
        )
    for number in range(50):
        fresh_world.zk.create(f"/elsewhere{number}")
    first = fresh_world.worker(shards=SHARDS)
    first.follows()
    first.drain()
    test_identity.wipe(fresh_world, fresh_zookeeper)
    for root in ROOTS:
        fresh_world.zk.create(root, b"new")
    return fresh_world


def held(world: mirroring.World, identity: messages.Identity) -> mirroring.Worker:
    """A worker both of whose shards wait for a person to say that it is the right ensemble."""
    worker = world.worker(shards=SHARDS, identity=identity, zookeeper=QUICK)
    for number in range(len(ROOTS)):
        guard = worker.trip(30.0, number=number)
        assert (guard.kind, "behind" in guard.reason) == ("identity", True)
    return worker


def release(worker: mirroring.Worker, number: int) -> None:
    """First the ensemble, then what it lacks."""
    for kind in ("identity", "deletes"):
        worker.release(worker.trip(30.0, number=number, kind=kind).id, number)
    worker.wait(is_well, 30.0, number=number, what="released, and following")


def is_well(report: messages.ShardReport) -> bool:
    return report.phase == "following" and report.guard is None


def tripped_since(worker: mirroring.Worker, number: int, start: int) -> list[str]:
    """Why a shard was held in any of the reports from the one at `start` on."""
    id_ = worker.shards[number].id
    shards = [each for report in worker.reports[start:] for each in report.shards if each.id == id_]
    return [each.guard.reason for each in shards if each.guard is not None]


def test_the_second_release_neither_ends_the_session_nor_holds_the_first_again(
    wiped: mirroring.World,
) -> None:
    worker = held(wiped, test_identity.NEXT)
    release(worker, 0)
    epoch, start = worker.session.epoch, len(worker.reports)
    release(worker, 1)
    for root in ROOTS:
        assert wiped.etcd.values(root) == {root.encode(): b"new"}
    assert worker.session.epoch == epoch
    assert tripped_since(worker, 0, start) == []
    assert tripped_since(worker, 1, start)


def test_who_is_still_held_keeps_nobody_from_their_ensemble_after_a_restart(
    wiped: mirroring.World,
) -> None:
    worker = held(wiped, test_identity.NEXT)
    release(worker, 0)
    worker.drain()
    heir = wiped.worker(shards=SHARDS, identity=HEIR, zookeeper=QUICK)
    heir.wait(is_well, 20.0, what="the one that was released")
    assert heir.trip(30.0, number=1).kind == "identity"
    wiped.zk.set(ROOTS[0], b"newer")
    wiped.equal(source=ROOTS[0], target=ROOTS[0])
    assert tripped_since(heir, 0, 0) == []
    assert len(wiped.etcd.values(ROOTS[1])) == 5
    release(heir, 1)
    assert wiped.etcd.values(ROOTS[1]) == {ROOTS[1].encode(): b"new"}
    assert tripped_since(heir, 0, 0) == []


def test_one_that_nobody_has_asked_about_yet_holds_the_released_up_but_does_not_trip_them(
    wiped: mirroring.World,
) -> None:
    """It comes later, with a checkpoint of the ensemble that is gone, to the worker of the others:
    only its own guard trips, and then they go on."""
    late = mirroring.shard("/late", "/late")
    wiped.etcd.put(f"{wiped.state}/checkpoints/{late.id}", b"%016x" % 5000)
    worker = held(wiped, test_identity.NEXT)
    for number in range(len(ROOTS)):
        release(worker, number)
    start = len(worker.reports)
    worker.assign({}, [*SHARDS, late])
    assert worker.trip(30.0, number=2).kind == "identity"
    for number, root in enumerate(ROOTS):
        worker.wait(is_well, 20.0, number=number)
        wiped.zk.set(root, b"newer")
        wiped.equal(source=root, target=root)
        assert tripped_since(worker, number, start) == []


def test_a_paused_one_keeps_nobody_from_their_ensemble(wiped: mirroring.World) -> None:
    worker = held(wiped, test_identity.NEXT)
    worker.pause(1)
    worker.wait(lambda each: each.phase == "paused", 20.0, number=1, what="paused")
    release(worker, 0)
    assert wiped.etcd.values(ROOTS[0]) == {ROOTS[0].encode(): b"new"}
    worker.resume(1)
    worker.wait(lambda each: each.phase == "guarded", 20.0, number=1, what="held once more")
    release(worker, 1)
    assert wiped.etcd.values(ROOTS[1]) == {ROOTS[1].encode(): b"new"}


def test_each_time_it_is_waited_for_a_server_that_only_lags(wiped: mirroring.World) -> None:
    worker = held(wiped, test_identity.NEXT)
    for number in range(len(ROOTS)):
        release(worker, number)
    worker.pause(0)
    worker.wait(lambda each: each.phase == "paused", 20.0, what="paused")
    wiped.etcd.put(f"{wiped.state}/checkpoints/further-0", b"%016x" % 5000)
    resumed = time.time()
    worker.resume(0)
    assert worker.trip(30.0).since - resumed >= connecting._BEHIND


def test_to_pause_one_that_is_held_holds_no_other_again(wiped: mirroring.World) -> None:
    worker = held(wiped, test_identity.NEXT)
    release(worker, 0)
    worker.pause(1)
    worker.wait(lambda each: each.phase == "paused", 20.0, number=1, what="paused")
    worker.drain()
    heir = wiped.worker(shards=SHARDS, identity=HEIR, zookeeper=QUICK)
    heir.wait(is_well, 20.0, what="the one that was released")
    assert tripped_since(heir, 0, 0) == []


def test_the_answer_to_a_release_is_lost(wiped: mirroring.World) -> None:
    with proxy.Proxy(wiped.etcd_address) as between:
        etcd = {"endpoints": [f"http://{between.address}"], "request_timeout": 1.0}
        worker = wiped.worker(
            shards=SHARDS[:1], identity=test_identity.NEXT, zookeeper=QUICK, etcd=etcd
        )
        guard = worker.trip(30.0, kind="identity")
        told, key = threading.Event(), f"{wiped.state}/checkpoints/{SHARDS[0].id}"

        def sees(data: bytes) -> None:
            if b"/identities/" in data and b"/guards/" in data and not told.is_set():
                between.hold("down")
                told.set()

        between.sees = sees
        worker.release(guard.id)
        assert told.wait(10.0)
        written = wiped.etcd
        polling.until(lambda: (written.value(key) or b"").startswith(b"0" * 16), 10.0)
        worker.wait(lambda each: each.phase == "error", what="an error")
        between.heal()
        assert worker.trip(30.0, kind="deletes")
