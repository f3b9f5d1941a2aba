"""What a worker knows of a shard's floor, and what etcd says of it, need not be the same: another
released it meanwhile, or etcd was put back. Neither may leave a shard without a session for ever,
which nobody could release."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tests import proxy
from tests.integration import mirroring, observing, test_identity
from tests.integration.test_released_apart import (
    HEIR,
    QUICK,
    ROOTS,
    SHARDS,
    is_well,
    release,
    tripped_since,
)
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import connecting

OTHER = messages.Identity("other", "w0", 1)
SHORT = {"lease_ttl": 2.0}


@pytest.fixture
def seeded(fresh_world: mirroring.World, monkeypatch: pytest.MonkeyPatch) -> mirroring.World:
    """One prefix, not mirrored yet; a server counts as behind after two seconds."""
    monkeypatch.setattr(connecting, "_BEHIND", 2.0)
    observing.seed(fresh_world.zk, [(ROOTS[0], b"old"), (f"{ROOTS[0]}/n", b"old")])
    return fresh_world


def test_another_supervisor_released_it_meanwhile(
    seeded: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    """Ours had it once, and lost it while etcd was away."""
    world, shards = seeded, SHARDS[:1]
    for number in range(50):
        world.zk.create(f"/elsewhere{number}")
    first = world.worker(shards=shards)
    first.follows()
    first.drain()
    with proxy.Proxy(world.etcd_address) as between:
        etcd = {"endpoints": [f"http://{between.address}"], "request_timeout": 1.0}
        ours = world.worker(
            shards=shards, identity=test_identity.NEXT, zookeeper=QUICK, state=SHORT, etcd=etcd
        )
        ours.follows()
        between.refuse()
        other = world.worker(shards=shards, identity=OTHER, zookeeper=QUICK, state=SHORT)
        other.follows(30.0)
        between.heal()
        ours.wait(lambda each: each.phase == "waiting", 20.0, what="waiting")
        test_identity.wipe(world, fresh_zookeeper)
        world.zk.create(ROOTS[0], b"new")
        release(other, 0)
        other.drain()
        start = len(ours.reports)
        ours.wait(is_well, 30.0, what="what another released")
        assert tripped_since(ours, 0, start) == []


def test_both_sides_are_put_back_below_a_worker(
    seeded: mirroring.World,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    tmp_path: pathlib.Path,
) -> None:
    """It knows of a later zxid than etcd does: a person is asked."""
    world, shards = seeded, SHARDS[:1]
    first = world.worker(shards=shards, zookeeper=QUICK)
    first.follows()
    fresh_zookeeper.stop()
    shutil.copytree(fresh_zookeeper.data, tmp_path / "zookeeper")
    fresh_etcd.save(tmp_path / "etcd")
    fresh_zookeeper.start()
    for number in range(40):
        world.zk.create(f"{ROOTS[0]}/later{number}", b"later")
    world.equal(source=ROOTS[0], target=ROOTS[0])
    first.drain()
    worker = world.worker(shards=shards, identity=HEIR, reaped={"w0": 1}, zookeeper=QUICK)
    worker.follows()
    fresh_etcd.stop()
    fresh_zookeeper.stop()
    fresh_etcd.restore(tmp_path / "etcd")
    shutil.rmtree(fresh_zookeeper.data)
    shutil.copytree(tmp_path / "zookeeper", fresh_zookeeper.data)
    fresh_etcd.start()
    fresh_zookeeper.start()
    worker.release(worker.trip(45.0, kind="identity").id)
    worker.wait(lambda each: each.phase in ("following", "guarded"), 30.0, what="following")
