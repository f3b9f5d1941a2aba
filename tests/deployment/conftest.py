"""One supervisor that the tests of dashboard, alerts and probes look at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers

PREFIX = "/deployed"


@pytest.fixture(scope="session")
def sides(zookeeper: servers.ZooKeeper, etcd: servers.Etcd) -> Iterator[both_sides.Sides]:
    """Clients of the shared servers."""
    opened = both_sides.Sides(zookeeper.address, etcd.address)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def supervisor(
    session_sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
) -> installed.Supervisor:
    """Follows PREFIX, where things change now and then: leave it running."""
    sides.seed(PREFIX, 50)
    # It shares with nobody, and watches for strangers, and so has all metrics that there are.
    watching = {"cluster": {"mode": "share"}, "sync": {"drift": "watch"}}
    content = installed.settings(zookeeper, etcd, [PREFIX], **watching)
    folder = session_sandbox.subfolder("zk2etcd")
    running = session_sandbox.adopt(installed.Supervisor(folder, content))
    running.start()
    running.wait_following()
    # What is known a moment later is a metric only then.
    polling.until(
        lambda: all(shard["lag_seconds"] is not None for shard in running.status()["shards"]),
        what="how fresh it is",
    )
    return running
