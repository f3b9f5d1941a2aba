"""An etcd that was put back to an earlier state, under a mirror that goes on."""

from __future__ import annotations

import pathlib
import shutil

import pytest

from tests.integration import mirroring
from zk2etcd.sandbox import servers


@pytest.mark.parametrize("busy", [True, False])
def test_an_etcd_restored_from_a_backup_is_made_equal_again(
    zookeeper: servers.ZooKeeper,
    sandbox: servers.Sandbox,
    prefix: str,
    tmp_path: pathlib.Path,
    busy: bool,
) -> None:
    """The owner key is in the backup too, so the fence alone does not tell."""
    etcd = sandbox.etcd(durable=True)
    etcd.start()
    with mirroring.World(zookeeper.address, etcd.address, prefix) as world:
        world.zk.create(world.root, b"")
        for number in range(20):
            world.zk.create(world.path(f"n{number}"), b"old")
        worker = world.worker()
        worker.follows()
        world.equal()
        etcd.stop()
        shutil.copytree(etcd.data, tmp_path / "backup")
        etcd.start()
        for number in range(5):
            world.zk.set(world.path(f"n{number}"), b"new")
        world.zk.delete(world.path("n19"))
        world.equal()
        etcd.kill()
        shutil.rmtree(etcd.data)
        shutil.copytree(tmp_path / "backup", etcd.data)
        etcd.start()
        if busy:
            world.zk.set(world.path("n10"), b"after")
        world.equal()
        worker.follows()
