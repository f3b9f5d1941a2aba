"""Servers for the tests that need real ones: shared by the session where a test keeps to its own
prefix, fresh where it kills, freezes or wipes them."""

from __future__ import annotations

import itertools
import os
import pathlib
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from tests import class_data, polling
from zk2etcd.logs import logger, repeats
from zk2etcd.sandbox import server_process, servers

_numbers = itertools.count(1)

# Whoever runs us in the background may have Ctrl-C ignored, and so would all that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
# How long a value takes to make says more of what else the machine does than of the test.
hypothesis.settings.register_profile(
    "gate",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=True,  # a change is judged by the same values each time: decision 130
)
hypothesis.settings.register_profile(
    "search", hypothesis.settings.get_profile("gate"), derandomize=False, max_examples=300
)
hypothesis.settings.load_profile("search" if os.environ.get("ZK2ETCD_SEARCH") else "gate")

# Each process of a run has ports of its own: one that another one's server is about to take, or was
# stopped on, looks free.
_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
_ports = server_process.PORTS
_share = len(_ports) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
server_process.PORTS = _ports[_process * _share : (_process + 1) * _share]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # one of several processes of this run, which inherits
        class_data.share()


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Where those alone are run, nine of ten files have none: they are not imported for it."""
    if not config.option.markexpr.startswith("alone") or collection_path.suffix != ".py":
        return None
    return b".alone" not in collection_path.read_bytes() or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The demo takes a minute, and more than one if the first try is late: the others go on beside
    it."""
    items.sort(key=lambda item: item.path.name != "test_demo.py")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Others take seconds from a test that is not alone: it says nothing by its deadlines."""
    judges = item.get_closest_marker("alone") or "faults" in item.path.parts
    polling.patience = 1.0 if judges else 3.0


@pytest.fixture(autouse=True)
def unsaid() -> None:
    """What an earlier test had logged is no repetition."""
    logger._Held.repeats = repeats.Repeats()


@pytest.fixture(scope="session")
def session_sandbox() -> Iterator[servers.Sandbox]:
    with servers.opened() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def zookeeper(session_sandbox: servers.Sandbox) -> servers.ZooKeeper:
    """A ZooKeeper shared by all tests: stay below the `prefix` fixture, leave the server alone."""
    server = session_sandbox.zookeeper(durable=False)
    server.start()
    return server


@pytest.fixture(scope="session")
def etcd(session_sandbox: servers.Sandbox) -> servers.Etcd:
    """An etcd shared by all tests: stay below the `prefix` fixture, leave the server alone."""
    server = session_sandbox.etcd(durable=False)
    server.start()
    return server


@pytest.fixture
def prefix() -> str:
    """A path that no other test uses: `/t7`."""
    return f"/t{next(_numbers)}"


@pytest.fixture
def sandbox() -> Iterator[servers.Sandbox]:
    """A sandbox of one's own: make servers in it, start them, break them."""
    with servers.opened() as sandbox:
        yield sandbox


@pytest.fixture
def fresh_zookeeper(sandbox: servers.Sandbox) -> servers.ZooKeeper:
    """A started ZooKeeper that only this test uses."""
    server = sandbox.zookeeper(durable=False)
    server.start()
    return server


@pytest.fixture
def fresh_etcd(sandbox: servers.Sandbox) -> servers.Etcd:
    """A started etcd that only this test uses."""
    server = sandbox.etcd(durable=False)
    server.start()
    return server


@pytest.fixture
def small_etcd(sandbox: servers.Sandbox) -> servers.Etcd:
    """A started etcd that only this test uses, and that is full after 4 MiB."""
    server = sandbox.etcd(arguments=["--quota-backend-bytes", str(4 * 1024 * 1024)])
    server.start()
    return server
