"""Clients that set nodes to the value that they have, as heartbeats do."""

from __future__ import annotations

import pytest

from tests import etcd_cluster, polling
from tests.acceptance.conftest import Mirrors
from zk2etcd.sandbox import servers

ROOT = "/unchanged"
NODES = 500


@pytest.mark.alone
@pytest.mark.long
def test_a_value_that_stands_is_not_put_again(mirrors: Mirrors, etcd: servers.Etcd) -> None:
    """E13: nodes are set to their own value each second: etcd keeps no history of it (its first
    time excepted); and a change, a delete, and what was there before are mirrored as ever."""
    supervisor = mirrors.following(ROOT, nodes=NODES)
    zk = mirrors.sides.zk
    values = {f"{ROOT}/n{at}": b"v%d" % at for at in range(NODES)}

    def again() -> None:
        for done in [zk.set_async(path, value) for path, value in values.items()]:
            done.get(timeout=10)
        zk.set(f"{ROOT}/n0", zk.get(f"{ROOT}/n0")[0] + b".")
        values[f"{ROOT}/n0"] = zk.get(f"{ROOT}/n0")[0]
        mirrors.sides.wait_equal(ROOT)

    again()
    polling.until(lambda: not supervisor.shards()[ROOT]["pending"], 10, what="all is written")
    key = f"{ROOT}/n{NODES - 1}"
    before = etcd_cluster.etcdctl(etcd.url, "get", key, "-w", "json")["kvs"][0]["version"]
    for _ in range(4):
        again()
    polling.until(lambda: not supervisor.shards()[ROOT]["pending"], 10, what="all is written")
    after = etcd_cluster.etcdctl(etcd.url, "get", key, "-w", "json")["kvs"][0]["version"]
    assert after == before
    zk.set(key, b"other")
    mirrors.sides.wait_equal(ROOT)
    zk.set(key, values[key])
    mirrors.sides.wait_equal(ROOT)
    zk.delete(key)
    mirrors.sides.wait_equal(ROOT)
    zk.create(key, values[key])
    mirrors.sides.wait_equal(ROOT)
