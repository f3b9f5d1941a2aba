"""A value that a line does not carry within `request_timeout`: the error says which key helps."""

from __future__ import annotations

import os

import pytest

from tests import proxy as proxies
from tests.integration import mirroring

RATE = 100_000.0
SIZE = 250_000
"""Bytes: 2.5 s of it."""


@pytest.mark.parametrize("protocol", ["bulk", "classic"])
def test_one_that_is_too_slow_to_be_read_is_named(world: mirroring.World, protocol: str) -> None:
    world.zk.create(world.root)
    world.zk.create(world.path("large"), os.urandom(SIZE))
    with proxies.Proxy(world.zookeeper, rate=RATE) as between:
        settings = {"hosts": [between.address], "protocol": protocol}
        worker = world.worker(zookeeper={**settings, "request_timeout": 1.0})
        said = f"no answer to a read of {world.path('large')} within zookeeper.request_timeout, 1 s"
        worker.wait(lambda each: said in (each.error or ""), 30)
        most = worker.session.request_size.most
        assert most > 100_000, "the requests are not what was too large"


def test_one_that_is_too_slow_to_be_written_names_the_key(world: mirroring.World) -> None:
    world.zk.create(world.root)
    world.zk.create(world.path("large"), os.urandom(SIZE))
    with proxies.Proxy(world.etcd_address, rate=RATE) as between:
        endpoints = [f"http://{between.address}"]
        worker = world.worker(etcd={"endpoints": endpoints, "request_timeout": 1.0})
        worker.wait(lambda each: "etcd.request_timeout" in (each.error or ""), 30)
        between.throttle(100 * RATE)
        worker.follows(30)
        world.equal()
