"""A node with very many children: what if the connection ends while they are listed?

The bounds from which on a listing is long are lowered here, so that a small one is enough.
"""

from __future__ import annotations

import pytest

from tests import polling, proxy as proxies
from tests.integration import mirroring, observing
from zk2etcd.sandbox import servers
from zk2etcd_workers.model import pacing

CHILDREN = 1_100
LONG = "x" * 170


@pytest.fixture
def wide(world: mirroring.World, monkeypatch: pytest.MonkeyPatch) -> mirroring.World:
    """A node with children enough, and one beside it that the walk comes to before."""
    monkeypatch.setattr(pacing, "LARGE_LISTING", 1_000)
    monkeypatch.setattr(pacing, "DANGEROUS_LISTING", 1_000)
    monkeypatch.setattr(pacing, "_REST", 2.0)
    names = [(world.path("wide", f"{number:05}{LONG}"), b"v") for number in range(CHILDREN)]
    world.zk.create(world.root)
    observing.seed(world.zk, [(world.path("before"), b"v"), (world.path("wide"), b"v"), *names])
    return world


def test_it_is_mirrored_and_followed(wide: mirroring.World) -> None:
    worker = wide.worker()
    worker.follows()
    wide.equal()
    wide.zk.create(wide.path("wide", "new"), b"v")
    wide.zk.delete(wide.path("wide", f"00007{LONG}"))
    wide.equal()
    result = worker.full_sync().last_full_sync
    assert result is not None
    assert (result.put, result.delete) == (0, 0)


@pytest.mark.parametrize("protocol", ["auto", "classic"])
def test_a_listing_at_which_the_connection_ends_rests_and_is_named(
    wide: mirroring.World, zookeeper: servers.ZooKeeper, protocol: str
) -> None:
    with proxies.Proxy(zookeeper.address) as between:
        between.most = 80_000
        worker = wide.worker(zookeeper={"hosts": [between.address], "protocol": protocol})
        said = "not asked again yet to list the 1,100 children of"
        report = worker.wait(lambda each: said in (each.error or ""))
        assert report.error is not None
        assert "zookeeper.request_timeout" in report.error
        assert "sync.prefixes.exclude" in report.error
        assert report.retry_at is not None
        asked = between.connections
        below = wide.path("wide", "").encode()
        assert not [key for key in wide.etcd.values(wide.root) if key.startswith(below)]
        between.most = proxies.KEEP_ALL
        worker.follows(30)
        wide.equal()
        assert between.connections <= asked + 1, "and then it was asked for once"


def test_while_nobody_answers_since_the_error_says_at_what_it_ended(
    wide: mirroring.World, zookeeper: servers.ZooKeeper
) -> None:
    """A server that lacks the memory for the answer ends."""
    with proxies.Proxy(zookeeper.address) as between:
        between.most = 80_000
        worker = wide.worker(zookeeper={"hosts": [between.address]})
        worker.wait(lambda each: each.started_over or each.error)
        polling.until(lambda: worker.session.caution.suspect() is not None, 15)
        between.refuse()
        said = "(the last one ended when it was to list the 1,100 children of"
        worker.wait(lambda each: said in (each.error or ""))
        between.most = proxies.KEEP_ALL
        between.accept()
        worker.follows(30)
        wide.equal()
