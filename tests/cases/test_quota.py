"""What a mirror does at an etcd that is full, or will be."""

from __future__ import annotations

import threading

import pytest

from tests import etcd_cluster, polling
from tests.acceptance import both_sides, conftest, installed
from tests.integration import observing
from zk2etcd.sandbox import servers

_NODES = 40_000


@pytest.fixture
def full_soon(sandbox: servers.Sandbox) -> servers.Etcd:
    """A started etcd that takes 16 MiB."""
    server = sandbox.etcd(durable=False, arguments=["--quota-backend-bytes", str(16 * 1024 * 1024)])
    server.start()
    return server


@pytest.fixture(scope="module")
def kilobytes(zookeeper: servers.ZooKeeper) -> str:
    """A prefix of 40,000 nodes of 1 kB each."""
    zk = observing.connected(zookeeper.address)
    zk.ensure_path("/quota")
    observing.seed(zk, ((f"/quota/n{number:05}", b"v" * 1000) for number in range(_NODES)))
    zk.stop()
    zk.close()
    return "/quota"


@pytest.mark.alone
def test_a_full_etcd_stops_us_with_the_others(
    zookeeper: servers.ZooKeeper,
    full_soon: servers.Etcd,
    kilobytes: str,
    supervise: conftest.Supervise,
) -> None:
    """E3: 40 MB of nodes, a quota of 16 MiB, and another client that puts a key now and then."""
    content = installed.settings(zookeeper, full_soon, [kilobytes], workers={"count": 1})
    supervisor = supervise(content)
    etcd = observing.Etcd(full_soon.address)
    pause = threading.Event()
    try:
        supervisor.start()
        while not etcd.is_full():
            pause.wait(0.1)
        then = etcd.count(kilobytes)

        def told() -> bool:
            error = supervisor.shards()[kilobytes]["error"] or ""
            return "space exceeded" in error

        polling.until(told, 20, what="the shard says that there is no space")
        # What was under way when the other client was told may have been accepted before.
        assert etcd.count(kilobytes) - then < 0.2 * _NODES
    finally:
        etcd.close()


@pytest.mark.alone
def test_a_full_etcd_stops_repairs_too(
    zookeeper: servers.ZooKeeper, full_soon: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """E3, kind: somebody makes room by deleting keys of ours; a full sync must not put them back as
    long as others are told that there is no space."""
    root, nodes = "/quota-repairs", 2_000
    sides = both_sides.Sides(zookeeper.address, full_soon.address)
    sides.zk.ensure_path(root)
    observing.seed(sides.zk, ((f"{root}/n{number:05}", b"v" * 1000) for number in range(nodes)))
    supervisor = supervise(installed.settings(zookeeper, full_soon, [root], workers={"count": 1}))
    try:
        supervisor.start()
        supervisor.wait_following()
        etcd_cluster.etcdctl(full_soon.url, "del", "--prefix", f"{root}/n")
        while not sides.etcd.is_full():
            pass
        supervisor.ask("/full-sync", {})
        polling.until(
            lambda: "space exceeded" in (supervisor.shards()[root]["error"] or ""),
            20,
            what="the shard says that there is no space",
        )
        assert sides.etcd.count(root) < 0.2 * nodes
    finally:
        sides.close()
