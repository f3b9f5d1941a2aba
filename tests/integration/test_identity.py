"""An ensemble that was wiped or swapped: nothing is deleted, nothing is written, until a person has
said that it is the right one."""

from __future__ import annotations

import threading

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import conditions, messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import connecting
from zk2etcd_workers.safety import guard_record

NEXT = messages.Identity("inst", "w0", 2)
REAPED = {"w0": 1}


def mirrored(world: mirroring.World, root: str = "") -> dict[bytes, bytes]:
    """Five nodes below the root, mirrored by a worker that is gone; what etcd holds."""
    root = root or world.root
    world.zk.ensure_path(root)
    base = root.rstrip("/")
    observing.seed(world.zk, [(f"{base}/n{number}", b"old") for number in range(5)])
    first = world.worker(targets={root: root})
    first.follows()
    found = world.etcd.values(root)
    assert len(found) >= 5
    first.drain()
    return found


def refused(worker: mirroring.Worker) -> conditions.Guard:
    guard = worker.trip(30.0)
    assert guard.kind == "identity"
    return guard


def looked_at(worker: mirroring.Worker, identity: conditions.Guard) -> conditions.Guard:
    """The other ensemble is the right one: what its deletes would be, which wait for another look
    because they could not be shown before."""
    worker.release(identity.id)
    return worker.trip(30.0, kind="deletes")


def let_delete(worker: mirroring.Worker, held: conditions.Guard) -> None:
    worker.release(held.id)
    worker.wait(lambda each: each.phase == "following", what="the deletes")


def anew(world: mirroring.World) -> None:
    """The root goes and comes back with other values, and one name less."""
    world.zk.delete(world.root, recursive=True)
    observing.seed(
        world.zk, [(world.root, b""), *((world.path(f"n{n}"), b"new") for n in range(4))]
    )


def test_a_root_created_anew_unseen_is_refused_until_released(
    fresh_world: mirroring.World,
) -> None:
    """There is nothing beside it that could tell."""
    world = fresh_world
    before = mirrored(world)
    anew(world)
    worker = world.worker(identity=NEXT)
    guard = refused(worker)
    assert "now at zxid 0x" in guard.reason
    report = worker.wait(lambda each: each.phase == "guarded")
    assert (report.owned, report.error) == (True, None)
    # Neither changes nor full syncs, nor another worker, write anything.
    world.zk.create(world.path("live"), b"1")
    worker.drain()
    heir = world.worker(identity=messages.Identity("other", "w1", 1))
    assert refused(heir) == guard
    assert world.etcd.values(world.root) == before
    assert worker.counts.trips == 1

    # What it would delete was not shown yet: few as they are, they wait for another look.
    held = looked_at(heir, guard)
    assert (held.deletes, held.sample) == (1, (world.path("n4"),))
    polling.until(lambda: world.etcd.value(world.path("n0")) == b"new")
    assert world.etcd.value(world.path("n4")) == b"old"
    let_delete(heir, held)
    assert world.etcd.values(world.root) == world.wanted()
    heir.drain()
    third = world.worker(identity=messages.Identity("third", "w1", 1))
    assert third.follows().guard is None


def test_a_root_created_anew_beside_what_stands_is_the_guard_s_case(
    fresh_world: mirroring.World,
) -> None:
    """Seen missing first, then unseen. The values are right; what is gone, a person looks at."""
    world = fresh_world
    world.zk.create("/stands", b"")
    before = mirrored(world)
    world.zk.delete(world.root, recursive=True)
    worker = world.worker(identity=NEXT)
    held = worker.trip()
    assert held.deletes == len(before)
    observing.seed(world.zk, [(world.root, b"anew"), (world.path("n0"), b"new")])
    polling.until(lambda: world.etcd.value(world.path("n0")) == b"new")
    assert world.etcd.value(world.root) == b"anew"
    assert worker.trip(kind="deletes") == held
    assert world.etcd.values(world.root).keys() == before.keys()
    let_delete(worker, held)
    assert world.etcd.values(world.root) == world.wanted()
    worker.drain()
    anew(world)
    heir = world.worker(identity=messages.Identity("inst", "w0", 3))
    assert heir.follows().guard is None
    world.equal()


def test_a_root_created_anew_before_our_eyes_is_followed(world: mirroring.World) -> None:
    mirrored(world)
    worker = world.worker(identity=NEXT)
    worker.follows()
    for _ in range(3):
        anew(world)
        world.equal()
    worker.drain()
    again = world.worker(identity=messages.Identity("inst", "w0", 3))
    assert again.follows().guard is None


def test_a_root_deleted_before_our_eyes_may_come_back_unseen(world: mirroring.World) -> None:
    mirrored(world)
    worker = world.worker(identity=NEXT)
    worker.follows()
    world.zk.delete(world.root, recursive=True)
    polling.until(lambda: not world.etcd.values(world.root))
    worker.drain()
    world.zk.create(world.root, b"again")
    again = world.worker(identity=messages.Identity("inst", "w0", 3))
    assert again.follows().guard is None
    world.equal()


def test_a_root_missing_and_then_created_is_another_one(
    fresh_world: mirroring.World,
) -> None:
    """As when a wiped ensemble is filled again while the deletes are held."""
    world = fresh_world
    before = mirrored(world)
    world.zk.delete(world.root, recursive=True)
    worker = world.worker(identity=NEXT)
    guard = worker.trip()
    assert (guard.kind, guard.deletes) == ("deletes", len(before))
    world.zk.create(world.root, b"other")
    worker.trip(kind="identity")
    assert world.etcd.values(world.root) == before


def wipe(world: mirroring.World, server: servers.ZooKeeper) -> None:
    world.zk.stop()
    world.zk.close()
    server.stop()
    server.wipe()
    server.start()
    world.zk = observing.connected(server.address)


def outgrow(world: mirroring.World) -> None:
    for _ in range(60):
        world.zk.create("/filler", b"")
        world.zk.delete("/filler")


def test_an_ensemble_set_up_by_the_same_steps_is_another_one(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    """Its root has the same czxid."""
    before = mirrored(fresh_world, "/own")
    known = fresh_world.zk.exists("/own").czxid
    wipe(fresh_world, fresh_zookeeper)
    fresh_world.zk.create("/own", b"")
    assert fresh_world.zk.exists("/own").czxid == known
    outgrow(fresh_world)
    refused(fresh_world.worker(targets={"/own": "/own"}, identity=NEXT))
    assert fresh_world.etcd.values("/own") == before


@pytest.mark.parametrize("root", ["/own", "/"])
def test_another_ensemble_that_is_further_on(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    root: str,
) -> None:
    """A swap at the same address, by one with a larger zxid: no floor keeps it out."""
    before = mirrored(fresh_world, root)
    wipe(fresh_world, fresh_zookeeper)
    outgrow(fresh_world)
    fresh_world.zk.ensure_path("/own")
    worker = fresh_world.worker(targets={root: root}, identity=NEXT)
    guard = refused(worker)
    assert guard.present == len(before)
    assert fresh_world.etcd.values(root) == before
    worker.release(guard.id)
    worker.trip(30.0, kind="deletes")
    assert fresh_world.etcd.values(root).keys() >= before.keys()


def test_it_is_known_by_what_only_leads_to_what_is_mirrored(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    shard = messages.Shard("root-0", "/", "/", only=("/own/*",))
    observing.seed(fresh_world.zk, [("/own", b""), ("/own/a", b"old")])
    first = fresh_world.worker(shards=[shard])
    first.follows()
    before = fresh_world.etcd.values("/own")
    assert before == {b"/own/a": b"old"}
    first.drain()
    wipe(fresh_world, fresh_zookeeper)
    outgrow(fresh_world)
    observing.seed(fresh_world.zk, [("/own", b""), ("/own/a", b"new")])
    refused(fresh_world.worker(shards=[shard], identity=NEXT))
    assert fresh_world.etcd.values("/own") == before


def test_an_ensemble_that_is_behind_is_named_and_mirrored_once_released(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Wiped: its zxids begin anew, so the floor keeps it out, of another shard's checkpoint too."""
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    quick = {"session_timeout": 2.0, "connect_timeout": 2.0}
    world, root = fresh_world, fresh_world.root
    before = mirrored(world)
    theirs = f"{world.state}/checkpoints/other"
    world.etcd.put(theirs, b"%016x" % (1 << 20))
    wipe(world, fresh_zookeeper)
    worker = world.worker(identity=NEXT, zookeeper=quick)
    guard = refused(worker)
    assert "behind" in guard.reason
    assert fresh_zookeeper.address in guard.reason
    assert guard.present == len(before)
    assert world.etcd.values(root) == before
    assert world.checkpoint(worker) > 0
    worker.drain()

    heir = world.worker(identity=messages.Identity("inst", "w0", 3), zookeeper=quick)
    assert refused(heir) == guard
    world.zk.create(root, b"new")
    held = looked_at(heir, guard)
    assert held.deletes == len(before) - 1
    assert world.etcd.value(root) == b"new"
    assert 0 < world.checkpoint(heir) < 1 << 20
    assert world.etcd.value(theirs) == b"%016x" % (1 << 20)
    let_delete(heir, held)
    assert world.etcd.values(root) == {root.encode(): b"new"}


def released_behind(
    world: mirroring.World, server: servers.ZooKeeper
) -> tuple[mirroring.Worker, str]:
    """A worker that mirrors an ensemble behind what was mirrored, since a person said so; and the
    key of a prefix's checkpoint that left the configuration before."""
    mirrored(world)
    theirs = f"{world.state}/checkpoints/removed-0"
    world.etcd.put(theirs, b"%016x" % (1 << 20))
    wipe(world, server)
    quick = {"session_timeout": 2.0, "connect_timeout": 2.0}
    worker = world.worker(identity=NEXT, zookeeper=quick)
    guard = refused(worker)
    world.zk.create(world.root, b"new")
    let_delete(worker, looked_at(worker, guard))
    return worker, theirs


def test_a_new_prefix_does_not_bring_the_old_floor_back(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    world = fresh_world
    worker, theirs = released_behind(world, fresh_zookeeper)
    world.zk.create("/fresh", b"1")
    new = mirroring.shard("/fresh", "/fresh")
    worker.assign({}, [*worker.shards, new])
    worker.wait(lambda each: each.phase in ("following", "guarded"), number=1, what="a base")
    for number in (0, 1):
        report = worker.shard(number)
        assert report is not None
        assert (report.phase, report.guard) == ("following", None)
    assert world.etcd.value("/fresh") == b"1"
    assert worker.session.floor() < 1 << 20
    assert 0 < world.checkpoint(worker, 1) < 1 << 20
    assert world.etcd.value(theirs) == b"%016x" % (1 << 20)
    # Its next worker knows it too.
    worker.drain()
    targets = {world.root: world.root, "/fresh": "/fresh"}
    heir = world.worker(identity=messages.Identity("inst", "w0", 3), targets=targets)
    assert heir.follows().guard is None
    world.zk.set("/fresh", b"2")
    world.equal(source="/fresh", target="/fresh")


def test_one_that_was_mirrored_before_keeps_its_own_floor(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its root could not be read, say, so that no identity of it is kept."""
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    world = fresh_world
    worker, _ = released_behind(world, fresh_zookeeper)
    new = mirroring.shard("/fresh", "/fresh")
    world.etcd.put(f"{world.state}/checkpoints/{new.id}", b"%016x" % 5000)
    world.zk.create("/fresh", b"1")
    worker.assign({}, [*worker.shards, new])
    assert worker.trip(30.0, number=1).kind == "identity"
    assert world.etcd.value("/fresh") is None


def test_a_release_keeps_the_floor_when_the_right_ensemble_is_back(
    fresh_world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    quick = {"session_timeout": 2.0, "connect_timeout": 2.0}
    world = fresh_world
    mirrored(world)
    theirs, floor = f"{world.state}/checkpoints/other", world.zk.last_zxid + 60
    world.etcd.put(theirs, b"%016x" % floor)
    first = world.worker(identity=NEXT, zookeeper=quick)
    guard = refused(first)
    first.drain()
    worker = world.worker(identity=messages.Identity("inst", "w0", 3), zookeeper=quick)
    assert refused(worker) == guard
    known = world.checkpoint(worker)
    outgrow(world)
    polling.until(lambda: worker.session.connected, 20)
    worker.release(guard.id)
    worker.wait(lambda each: each.phase == "following", 30.0)
    assert world.checkpoint(worker) >= floor > known
    assert worker.session.floor() >= floor


def refilled(world: mirroring.World, root: str) -> None:
    """Another ensemble's nodes: some names are the same, no value is."""
    observing.seed(
        world.zk, [(root, b"other"), *((f"{root}/n{number}", b"other") for number in range(3))]
    )


def test_an_identity_is_not_forgotten_where_nothing_is_deleted(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    """With `deletes: never` no guard trips over a missing root."""
    before = mirrored(fresh_world, "/own")
    wipe(fresh_world, fresh_zookeeper)
    outgrow(fresh_world)
    worker = fresh_world.worker(targets={"/own": "/own"}, identity=NEXT, sync={"deletes": "never"})
    worker.follows()
    refilled(fresh_world, "/own")
    refused(worker)
    assert fresh_world.etcd.values("/own") == before


def test_a_swap_between_the_look_and_the_walk_writes_nothing(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = mirrored(fresh_world, "/own")
    begin, swapped = guard_record.Guarding.begin, threading.Event()

    def late(self: guard_record.Guarding, present: int, *, first: bool) -> None:
        if not swapped.is_set():
            session, known = self._ctx.session, self._ctx.session.epoch
            wipe(fresh_world, fresh_zookeeper)
            outgrow(fresh_world)
            refilled(fresh_world, "/own")
            while session.epoch == known or not session.connected:
                self._ctx.turn.pause(0.05)
            swapped.set()
        begin(self, present, first=first)

    monkeypatch.setattr(guard_record.Guarding, "begin", late)
    worker = fresh_world.worker(targets={"/own": "/own"}, identity=NEXT)
    refused(worker)
    assert swapped.is_set()
    assert fresh_world.etcd.values("/own") == before
