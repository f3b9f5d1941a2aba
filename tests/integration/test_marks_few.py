"""Marks at an etcd that takes few operations in a Txn (`--max-txn-ops`)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests import polling
from tests.integration import commands, marking, mirroring
from zk2etcd.sandbox import servers

NAMES = [f"n{number:03d}" for number in range(150)]


@pytest.fixture
def world(
    zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, prefix: str
) -> Iterator[mirroring.World]:
    etcd = sandbox.etcd(durable=False, arguments=["--max-txn-ops", "24"])
    etcd.start()
    with mirroring.World(zookeeper.address, etcd.address, prefix) as made:
        yield made


def test_all_of_it_goes_in_small_txns(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marking.grown(world, NAMES)
    for name in NAMES[:40]:
        world.etcd.put(world.path(name), b"ours")
    shard = marking.marked(world.root, world.root)
    worker = world.worker(shards=[shard])
    assert worker.follows(30).conflicts == 40
    adopt = commands.Command("adopt", world, tmp_path, capsys)
    adopt.configure(sync={"prefixes": [world.root], "ownership": "marks"})
    assert "40 of 40 keys marked" in adopt("--yes").out
    worker.full_sync()
    worker.wait(lambda report: report.conflicts == 0)
    # Marks that say nothing are collected, and keys without marks are told of.
    for name in NAMES[:60]:
        world.etcd.delete(world.path(name))
        world.etcd.put(world.path(name), b"theirs")
    for name in NAMES[60:100]:
        world.etcd.delete(marking.base(world, shard) + world.path(name))
    worker.full_sync()
    worker.wait(lambda report: report.conflicts == 100)
    left = {world.root, *map(world.path, NAMES[100:])}
    polling.until(lambda: marking.marks(world, shard) == left)
    for name in NAMES[100:]:
        world.zk.set(world.path(name), b"new")
    polling.until(
        lambda: {world.etcd.value(world.path(name)) for name in NAMES[100:]} == {b"new"}, 20
    )
    assert "40 of 40 keys marked" in adopt("--yes").out
