"""Supervisors for the acceptance tests, on the session's servers or on a test's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class Mirrors:
    """Supervisors of the shared servers, whose prefixes have nodes before they start."""

    zookeeper: servers.ZooKeeper
    etcd: servers.Etcd
    sides: both_sides.Sides
    supervise: Supervise

    def made(
        self, root: str, *names: str, nodes: int = 20, **sections: Mapping[str, Any]
    ) -> installed.Supervisor:
        """One that is not started: of the shards `<root>/<name>`, or of `root` alone, with so many
        nodes each; its state is in `zk2etcd<root>`. `sections` are laid over its configuration."""
        prefixes = [f"{root}/{name}" for name in names] or [root]
        for each in prefixes:
            self.sides.seed(each, nodes)
        content = installed.settings(self.zookeeper, self.etcd, prefixes)
        content = installed.laid_over(content, state={"prefix": f"zk2etcd{root}"})
        return self.supervise(installed.laid_over(content, **sections))

    def following(
        self, root: str, *names: str, nodes: int = 20, **sections: Mapping[str, Any]
    ) -> installed.Supervisor:
        """The same, started, once it follows."""
        supervisor = self.made(root, *names, nodes=nodes, **sections)
        supervisor.start()
        supervisor.wait_following()
        return supervisor


@pytest.fixture
def mirrors(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
    supervise: Supervise,
) -> Mirrors:
    """Makes a supervisor of prefixes that it fills; it is ended with the test."""
    return Mirrors(zookeeper, etcd, sides, supervise)


@pytest.fixture(scope="module")
def mirrors_module(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
    supervise_module: Supervise,
) -> Mirrors:
    """As `mirrors`, for a supervisor that several tests look at; it is ended with the module."""
    return Mirrors(zookeeper, etcd, sides, supervise_module)


def _maker(sandbox: servers.Sandbox) -> Supervise:
    def make(content: installed.Settings) -> installed.Supervisor:
        return sandbox.adopt(installed.Supervisor(sandbox.subfolder("zk2etcd"), content))

    return make
