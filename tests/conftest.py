"""Servers for the tests that need real ones: shared by the session where a test keeps to its own
prefix, fresh where it kills, freezes or wipes them."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from zk2etcd import logs, repeats
from zk2etcd import sandbox as sandboxes

_numbers = itertools.count(1)


@pytest.fixture(autouse=True)
def unsaid() -> None:
    """What an earlier test had logged is no repetition."""
    logs._Held.repeats = repeats.Repeats()


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[sandboxes.Sandbox]:
    with sandboxes.opened() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def zookeeper(session_sandbox: sandboxes.Sandbox) -> sandboxes.ZooKeeper:
    """A ZooKeeper shared by all tests: stay below the `prefix` fixture, leave the server alone."""
    server = session_sandbox.zookeeper(durable=False)
    server.start()
    return server


@pytest.fixture(scope="session")
def etcd(session_sandbox: sandboxes.Sandbox) -> sandboxes.Etcd:
    """An etcd shared by all tests: stay below the `prefix` fixture, leave the server alone."""
    server = session_sandbox.etcd(durable=False)
    server.start()
    return server


@pytest.fixture
def prefix() -> str:
    """A path that no other test uses: `/t7`."""
    return f"/t{next(_numbers)}"


@pytest.fixture
def sandbox() -> Iterator[sandboxes.Sandbox]:
    """A sandbox of one's own: make servers in it, start them, break them."""
    with sandboxes.opened() as sandbox:
        yield sandbox


@pytest.fixture
def fresh_zookeeper(sandbox: sandboxes.Sandbox) -> sandboxes.ZooKeeper:
    """A started ZooKeeper that only this test uses."""
    server = sandbox.zookeeper(durable=False)
    server.start()
    return server


@pytest.fixture
def fresh_etcd(sandbox: sandboxes.Sandbox) -> sandboxes.Etcd:
    """A started etcd that only this test uses."""
    server = sandbox.etcd(durable=False)
    server.start()
    return server
