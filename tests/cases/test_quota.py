"""What a mirror does at an etcd that is full, or will be."""

from __future__ import annotations

import json
import pathlib
import re
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


@pytest.mark.alone
def test_a_first_sync_says_in_time_that_the_rest_will_not_fit(
    zookeeper: servers.ZooKeeper,
    full_soon: servers.Etcd,
    kilobytes: str,
    supervise: conftest.Supervise,
) -> None:
    """E3: nothing else is written, and a good part of the quota is still free."""
    content = installed.settings(
        zookeeper,
        full_soon,
        [kilobytes],
        workers={"count": 1},
        etcd={"endpoints": [full_soon.url], "max_writes_per_second": 2000},
    )
    supervisor = supervise(content)
    supervisor.start()
    said = "etcd is too small for what is to come"
    polling.until(lambda: supervisor.events(said), 20, what="a warning")
    (line,) = supervisor.events(said)
    assert line["quota"] == "16.0 MiB"
    assert not supervisor.shards()[kilobytes]["error"]


@pytest.mark.long
def test_check_compares_what_is_to_come_with_the_quota(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    full_soon: servers.Etcd,
    kilobytes: str,
    tmp_path: pathlib.Path,
) -> None:
    """E3: with a quota of 16 MiB, with one of 2 GiB, and once it is full."""
    failed, told = _check(tmp_path, installed.settings(zookeeper, full_soon, [kilobytes]))
    assert failed, told
    assert "FAIL" in told, told
    assert "--quota-backend-bytes" in told, told
    megabytes = re.search(r"about (\d+\.\d) MiB is to come", told)
    assert megabytes, told
    assert 40 < float(megabytes[1]) < 60
    failed, told = _check(tmp_path, installed.settings(zookeeper, etcd, [kilobytes]))
    assert not failed, told
    assert "of its quota of 2.0 GiB are free" in told, told
    _fill(full_soon)
    failed, told = _check(tmp_path, installed.settings(zookeeper, full_soon, ["/none"]))
    assert failed, told
    assert "it is full" in told, told


def _check(folder: pathlib.Path, content: installed.Settings) -> tuple[bool, str]:
    """Whether it failed, and what it said, on one line."""
    config = folder / "config.yaml"
    config.write_text(json.dumps(content), "utf-8")
    done = installed.run("check", "-c", str(config))
    return done.returncode != 0, " ".join(done.stdout.split())


def _fill(server: servers.Etcd) -> None:
    etcd = observing.Etcd(server.address)
    try:
        polling.until(etcd.is_full, 20, every=0.0, what="it is full")
    finally:
        etcd.close()
