"""Cases of the guard that only real servers show: who may not read the root, an ensemble restored
from an older snapshot, and a configuration that never deletes."""

from __future__ import annotations

import shutil

import kazoo.client
import pytest
from kazoo.security import make_digest_acl

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import connecting

NEXT = messages.Identity("inst", "w0", 2)
QUICK = {"session_timeout": 2.0, "connect_timeout": 2.0}


def _seeded(world: mirroring.World, count: int = 5) -> None:
    world.zk.ensure_path(world.root)
    observing.seed(world.zk, [(world.path(f"n{number}"), b"v") for number in range(count)])


def _mirrored(world: mirroring.World) -> dict[bytes, bytes]:
    """Seeded and mirrored by a worker that is gone; what etcd holds."""
    _seeded(world)
    first = world.worker()
    first.follows()
    before = world.equal()
    first.drain()
    return before


def test_a_root_that_may_not_be_read_says_nothing_of_the_ensemble(
    fresh_world: mirroring.World,
) -> None:
    """NoAuth is neither another identity nor absence: nothing trips, nothing goes."""
    world = fresh_world
    before = _mirrored(world)
    world.zk.add_auth("digest", "owner:secret")
    world.zk.set_acls(world.root, [make_digest_acl("owner", "secret", all=True)])
    worker = world.worker(identity=NEXT)
    report = worker.wait(lambda report: "denies" in str(report.error), what="that it is denied")
    assert report.guard is None
    worker.full_sync()
    assert world.etcd.values(world.root) == before
    assert worker.counts.trips == 0
    # The identity that was kept is not forgotten: it is compared again once it may be read.
    worker.drain()
    world.zk.delete(world.root, recursive=True)
    world.zk.create(world.root, b"another")
    third = world.worker(identity=messages.Identity("inst", "w0", 3))
    guard = third.trip()
    assert guard.kind == "identity"
    assert world.etcd.values(world.root) == before


def test_what_goes_below_a_root_that_may_not_be_read_is_held(world: mirroring.World) -> None:
    """Nobody can tell whether this is the ensemble that was mirrored, so few deletes wait too."""
    before = _mirrored(world)
    world.zk.add_auth("digest", "owner:secret")
    world.zk.delete(world.path("n4"))
    world.zk.set_acls(world.root, [make_digest_acl("owner", "secret", all=True)])
    guard = world.worker(identity=NEXT).trip()
    assert (guard.kind, guard.deletes, guard.sample) == ("deletes", 1, (world.path("n4"),))
    assert world.etcd.values(world.root) == before


def test_never_deletes(world: mirroring.World) -> None:
    """Neither what was seen going, nor what a base or a full sync finds missing."""
    never = {"deletes": "never"}
    _seeded(world)
    worker = world.worker(sync=never)
    worker.follows()
    before = world.equal()
    world.zk.delete(world.path("n0"))
    world.zk.create(world.path("after"), b"1")
    polling.until(lambda: world.etcd.value(world.path("after")) == b"1", what="the next change")
    assert worker.full_sync().guard is None
    worker.drain()
    for number in range(1, 5):
        world.zk.delete(world.path(f"n{number}"))
    world.zk.set(world.path("after"), b"2")
    again = world.worker(sync=never, identity=NEXT)
    assert again.follows().guard is None
    assert again.full_sync().guard is None
    assert world.etcd.values(world.root) == {**before, world.path("after").encode(): b"2"}
    assert again.counts.trips == 0


def test_an_older_snapshot_is_behind_on_every_host(
    fresh_world: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The same ensemble with the same czxids, restored to before what was mirrored."""
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    world, server = fresh_world, fresh_zookeeper
    _seeded(world)
    backup = tmp_path_factory.mktemp("backup") / "folder"
    server.stop()
    shutil.copytree(server.folder, backup)
    server.start()
    world.zk = _anew(world, server)
    for number in range(40):
        world.zk.create(world.path(f"later{number}"), b"v")
    first = world.worker()
    first.follows()
    before = world.equal()
    first.drain()
    world.zk.stop()
    world.zk.close()
    server.stop()
    shutil.rmtree(server.folder)
    shutil.copytree(backup, server.folder)
    server.start()
    world.zk = observing.connected(server.address)
    worker = world.worker(identity=NEXT, zookeeper=QUICK)
    guard = worker.trip(30.0)
    assert guard.kind == "identity"
    assert "behind" in guard.reason
    assert world.etcd.values(world.root) == before


def _anew(world: mirroring.World, server: servers.ZooKeeper) -> kazoo.client.KazooClient:
    world.zk.stop()
    world.zk.close()
    return observing.connected(server.address)
