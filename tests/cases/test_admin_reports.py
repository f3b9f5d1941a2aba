"""What a tree's names do to what is told of it: nothing that anybody has to take is unbounded."""

from __future__ import annotations

import json

import kazoo.client
import kazoo.security
import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

OTHERS = [kazoo.security.make_digest_acl("other", "secret", all=True)]


def _long(number: int, length: int) -> str:
    return f"n{number}-" + "x" * length


@pytest.mark.parametrize("length", [pytest.param(9_000, marks=pytest.mark.long), 175_000])
def test_many_long_paths_that_may_not_be_read(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    supervise: conftest.Supervise,
    length: int,
) -> None:
    """A3: 100 nodes that may not be read, with paths of 175,000 characters (the worker was killed
    every 10 s, and never mirrored), and of 9,000 (a page of 944 kB)."""
    root = f"/long-{length}"
    sides = both_sides.Sides(fresh_zookeeper.address, etcd.address)
    try:
        sides.seed(root, 3)
        for number in range(100):
            sides.zk.create(f"{root}/{_long(number, length)}", b"v", acl=OTHERS)
        settings = installed.settings(fresh_zookeeper, etcd, [root])
        supervisor = supervise(settings)
        supervisor.start()
        supervisor.wait_following(30.0)
        shard = supervisor.shards()[root]
        assert shard["unsyncable_total"] == 100
        assert shard["unsyncable"][0]["path"].startswith(f"{root}/n")
        for place in ("/status", "/", "/readyz?verbose", "/history", "/metrics"):
            assert len(supervisor.ask(place)[1]) < 200_000, place
        assert len(installed.run("status", "--url", supervisor.url).stdout) < 50_000
        sides.zk.set(f"{root}/n0", b"new")
        polling.until(lambda: sides.etcd.value(f"{root}/n0") == b"new", 5.0)
        assert not supervisor.events("killing worker")
        lines = supervisor.events("path cannot be mirrored")
        assert lines
        assert all(len(json.dumps(line)) < 5_000 for line in lines)
    finally:
        sides.close()


@pytest.mark.long
def test_a_guard_that_holds_long_paths(
    fresh_zookeeper: servers.ZooKeeper, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """A3: deletes of long paths are held and released: the sample that stands in etcd was larger
    than a request may be, so that the shard was in error for ever."""
    root = "/long-held"
    sides = both_sides.Sides(fresh_zookeeper.address, etcd.address)
    try:
        sides.seed(root, 1)
        for number in range(20):
            sides.zk.create(f"{root}/{_long(number, 100_000)}", b"v")
        supervisor = supervise(installed.settings(fresh_zookeeper, etcd, [root]))
        supervisor.start()
        supervisor.wait_following(30.0)
        supervisor.stop()
        for number in range(20):
            sides.zk.delete(f"{root}/{_long(number, 100_000)}")
        supervisor.start()
        polling.until(lambda: supervisor.shards()[root]["guard"], 20.0, what="a trip")
        guard = supervisor.shards()[root]["guard"]
        assert guard["deletes"] == 20
        assert len(json.dumps(guard)) < 20_000
        record = sides.etcd.value(f"zk2etcd{root}/guards/{supervisor.shard_id(root)}")
        assert record is not None
        assert len(record) < 20_000
        done = installed.run("release", "--yes", "--wait", "--url", supervisor.url)
        assert done.returncode == 0, done
        assert len(done.stdout) < 20_000
        assert len(sides.etcd.values(root)) == 2
    finally:
        sides.close()


def test_a_name_that_etcd_refuses(
    fresh_zookeeper: servers.ZooKeeper, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """A3: a path that is too long for etcd itself is named, shortened, and the rest is mirrored."""
    root, zk = "/long-key", kazoo.client.KazooClient(fresh_zookeeper.address)
    zk.start()
    try:
        zk.ensure_path(root)
        zk.create(f"{root}/{_long(1, 1_000_000)}", b"x" * 40_000)
        zk.create(f"{root}/n", b"v")
        supervisor = supervise(installed.settings(fresh_zookeeper, etcd, [root]))
        supervisor.start()
        supervisor.wait_following(30.0)
        assert len(supervisor.ask("/status")[1]) < 20_000
    finally:
        zk.stop()
        zk.close()
