"""Connections to etcd that carry nothing more, or lead to the wrong one of many."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests import etcd_cluster, polling, proxy
from tests.acceptance import conftest as fixtures, installed
from zk2etcd.sandbox import servers

TIME = 15.0
"""Seconds that a silent connection may cost."""


@pytest.mark.alone
@pytest.mark.parametrize("others", [0, pytest.param(1, marks=pytest.mark.long)])
def test_a_silent_connection_is_replaced(
    mirrors: fixtures.Mirrors, prefix: str, others: int
) -> None:
    """E5: the connections that stand carry nothing more, new ones work; with a second endpoint
    behind the same relay, too."""
    etcd = mirrors.etcd
    with contextlib.ExitStack() as stack:
        relays = [stack.enter_context(proxy.Proxy(etcd.address)) for _ in range(1 + others)]
        urls = [f"http://{relay.address}" for relay in relays]
        supervisor = mirrors.following(prefix, etcd={"endpoints": urls})
        for relay in relays:
            relay.mute()
        muted = time.monotonic()
        mirrors.sides.zk.set(f"{prefix}/n1", b"after")
        polling.until(
            lambda: mirrors.sides.etcd.value(f"{prefix}/n1") == b"after", 100, what="the change"
        )
        assert time.monotonic() - muted < TIME
        assert supervisor.shards()[prefix]["owned"]


@pytest.mark.alone
def test_a_silent_connection_of_an_idle_mirror_is_noticed(
    mirrors: fixtures.Mirrors, prefix: str
) -> None:
    """E5: nothing changes while it is silent; what does afterwards is mirrored at once."""
    with proxy.Proxy(mirrors.etcd.address) as relay:
        supervisor = mirrors.following(prefix, etcd={"endpoints": [f"http://{relay.address}"]})
        relay.mute()
        before = relay.connections
        polling.until(lambda: relay.connections > before, TIME, what="a new connection")
        supervisor.wait_following()
        mirrors.sides.zk.set(f"{prefix}/n1", b"after")
        polling.until(
            lambda: mirrors.sides.etcd.value(f"{prefix}/n1") == b"after", 3, what="the change"
        )


@pytest.mark.parametrize("wrong", ["a learner", "of another cluster"])
def test_a_balancer_that_once_leads_to_the_wrong_one_is_asked_anew(
    mirrors: fixtures.Mirrors,
    supervise: fixtures.Supervise,
    sandbox: servers.Sandbox,
    prefix: str,
    wrong: str,
) -> None:
    """E2 and E14, kind: one address for many, such as a Service of Kubernetes. The connection that
    leads to one who serves nothing we need stands for ever; the next one leads elsewhere."""
    cluster = etcd_cluster.Cluster(sandbox, 1)
    right = cluster.members[0]
    other = (
        cluster.add_learner(sandbox)
        if wrong == "a learner"
        else etcd_cluster.Cluster(sandbox, 1).members[0]
    )
    with proxy.Proxy(right.address) as balancer:
        supervisor = supervise(
            installed.settings(
                mirrors.zookeeper,
                right,
                [prefix],
                etcd={"endpoints": [f"http://{balancer.address}"]},
            )
        )
        mirrors.sides.seed(prefix, 20)
        supervisor.start()
        supervisor.wait_following()
        balancer.retarget(other.address)
        before = balancer.connections
        balancer.cut()
        polling.until(lambda: balancer.connections > before, TIME, what="led to the wrong one")
        balancer.retarget(right.address)
        mirrors.sides.zk.set(f"{prefix}/n1", b"after")
        found = ("get", "--print-value-only", f"{prefix}/n1")
        polling.until(
            lambda: etcd_cluster.etcdctl(right.url, *found) == "after\n", TIME, what="the change"
        )
        assert (
            etcd_cluster.etcdctl(right.url, "get", "--print-value-only", f"{prefix}/n2") == "v2\n"
        )
