"""Connections to etcd that carry nothing more, without a sign."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests import polling, proxy
from tests.acceptance import conftest as fixtures

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
