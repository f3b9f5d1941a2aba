"""Through `etcd grpc-proxy` everything works as with the members themselves: it sends each of their
errors as UNKNOWN, with etcd's own words."""

from __future__ import annotations

import contextlib
import json
import pathlib
import time

import pytest

from tests import etcd_cluster, etcd_proxies, polling, releases
from tests.acceptance import both_sides, conftest as fixtures, installed
from tests.integration import observing
from zk2etcd.sandbox import servers

CHEAP = ("--bcrypt-cost", "4")


def _value(etcd: servers.Etcd, key: str, login: str = "") -> str:
    with contextlib.suppress(AssertionError):
        return str(etcd_cluster.etcdctl(etcd.url, "get", "--print-value-only", key, user=login))
    return ""


def test_limits_of_etcd_behind_a_proxy_are_kept_to(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    supervise: fixtures.Supervise,
    prefix: str,
) -> None:
    """E6: one node above --max-request-bytes is named, and a low --max-txn-ops only makes Txns
    smaller."""
    limits = ("--max-txn-ops", "16", "--max-request-bytes", "100000")
    member = sandbox.etcd(durable=False, arguments=limits)
    member.start()
    proxy = etcd_proxies.started(sandbox, member)
    with contextlib.closing(both_sides.Sides(zookeeper.address, member.address)) as sides:
        sides.seed(prefix, 100)
        supervisor = supervise(installed.settings(zookeeper, proxy, [prefix]))
        supervisor.start()
        supervisor.wait_following(20)
        sides.wait_equal(prefix)
        observing.seed(sides.zk, [(f"{prefix}/big", bytes(200_000)), (f"{prefix}/later", b"1")])
        polling.until(lambda: sides.etcd.value(f"{prefix}/later") == b"1", 15, what="the next node")
        polling.until(
            lambda: supervisor.shards()[prefix]["unsyncable"],
            10,
            what="the large node in the status",
        )
        sides.zk.set(f"{prefix}/n5", b"after")
        polling.until(lambda: sides.etcd.value(f"{prefix}/n5") == b"after", 5)


@pytest.mark.alone
def test_a_restart_behind_a_proxy_with_logins_is_survived(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    supervise: fixtures.Supervise,
    prefix: str,
) -> None:
    """E6: the member forgets its tokens, and says so without a code."""
    member = sandbox.etcd(durable=False, arguments=CHEAP)
    member.start()
    etcd_cluster.logins(member.url, f"zk2etcd{prefix}", prefix)
    proxy = etcd_proxies.started(sandbox, member)
    sides.seed(prefix, 20)
    supervisor = supervise(
        installed.settings(zookeeper, proxy, [prefix], etcd=etcd_cluster.login())
    )
    supervisor.start()
    supervisor.wait_following(20)
    member.restart()
    back = time.monotonic()
    sides.zk.set(f"{prefix}/n1", b"after")
    root = etcd_cluster.ROOT
    polling.until(lambda: _value(member, f"{prefix}/n1", root) == "after\n", 160)
    assert time.monotonic() - back < 15


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.long
def test_a_proxy_that_renews_no_lease_is_named_and_mirrored_through(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    supervise: fixtures.Supervise,
    prefix: str,
    tmp_path: pathlib.Path,
) -> None:
    """E7: with logins, since 3.5.28, keepalives come to nothing, and are answered late, with the
    TTL that is left. The lease is replaced before it ends, and what to do about it is said."""
    release = releases.etcd(releases.ETCD_3_5_30)
    member = sandbox.etcd(durable=False, arguments=CHEAP, binary=release)
    member.start()
    etcd_cluster.logins(member.url, f"zk2etcd{prefix}", prefix)
    proxy = etcd_proxies.started(sandbox, member, binary=release)
    sides.seed(prefix, 20)
    content = installed.settings(zookeeper, proxy, [prefix], etcd=etcd_cluster.login())
    content["state"]["lease_ttl"] = "9s"
    config = tmp_path / "check.yaml"
    config.write_text(json.dumps(content), "utf-8")
    checked = installed.run("check", "-c", str(config), timeout=60)
    assert checked.returncode == 1
    assert "name the members themselves in etcd.endpoints" in checked.stdout
    supervisor = supervise(content)
    supervisor.start()
    supervisor.wait_following(20)

    def mirrored(value: str) -> None:
        sides.zk.set(f"{prefix}/n1", value.encode())
        polling.until(
            lambda: _value(member, f"{prefix}/n1", etcd_cluster.ROOT) == f"{value}\n", 5, what=value
        )

    until, number = time.monotonic() + 15, 0
    while time.monotonic() < until:
        mirrored(f"change {number}")
        number += 1
    said = [line for line in supervisor.events() if "renews no lease" in str(line.get("error"))]
    assert "name the members themselves in etcd.endpoints" in said[0]["error"]
    owners = {line["reason"] for line in supervisor.events("starting over")}
    assert all("renewed" in reason for reason in owners), owners
