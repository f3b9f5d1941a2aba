"""Supervisors for the acceptance tests, on the session's servers or on a test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers

Supervise = Callable[[installed.Settings], installed.Supervisor]


@pytest.fixture(scope="session")
def sides(zookeeper: servers.ZooKeeper, etcd: servers.Etcd) -> Iterator[both_sides.Sides]:
    """Clients of the shared servers."""
    opened = both_sides.Sides(zookeeper.address, etcd.address)
    yield opened
    opened.close()


@pytest.fixture
def supervise(sandbox: servers.Sandbox) -> Supervise:
    """Makes a supervisor, not started, of these settings; it is ended with the test."""
    return _maker(sandbox)


@pytest.fixture(scope="module")
def supervise_module() -> Iterator[Supervise]:
    """As `supervise`, for a supervisor that several tests look at; it is ended with the module."""
    with servers.opened() as sandbox:
        yield _maker(sandbox)


def _maker(sandbox: servers.Sandbox) -> Supervise:
    def make(content: installed.Settings) -> installed.Supervisor:
        return sandbox.adopt(installed.Supervisor(sandbox.subfolder("zk2etcd"), content))

    return make
