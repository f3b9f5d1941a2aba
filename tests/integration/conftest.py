"""Worlds for the tests of the engine: shared servers where a test keeps to its prefix, own ones
where it breaks them."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable, Iterator

import pytest

from tests import releases
from tests.integration import commands, mirroring
from zk2etcd.sandbox import servers
from zk2etcd_workers.mirror import repair


@pytest.fixture
def world(
    zookeeper: servers.ZooKeeper, etcd: servers.Etcd, prefix: str
) -> Iterator[mirroring.World]:
    """A prefix of one's own on the shared servers."""
    with mirroring.World(zookeeper.address, etcd.address, prefix) as made:
        yield made


@pytest.fixture(scope="module")
def old(session_sandbox: servers.Sandbox) -> servers.ZooKeeper:
    """A ZooKeeper that has neither bulk reads nor recursive watches, for the tests of a module."""
    server = session_sandbox.zookeeper(
        durable=False, class_path=releases.class_path(releases.ZOOKEEPER_3_4)
    )
    server.start()
    return server


@pytest.fixture
def fresh_world(
    fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd
) -> Iterator[mirroring.World]:
    """Servers of one's own: `fresh_zookeeper` and `fresh_etcd` are theirs, to be broken."""
    with mirroring.World(fresh_zookeeper.address, fresh_etcd.address, "/own") as made:
        yield made


@pytest.fixture
def diff(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> commands.Command:
    """`zk2etcd diff` of the world."""
    return commands.Command("diff", world, tmp_path, capsys)


@pytest.fixture
def adopt(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> commands.Command:
    """`zk2etcd adopt` of the world, whose prefix goes by marks."""
    command = commands.Command("adopt", world, tmp_path, capsys)
    command.configure(sync={"prefixes": [world.root], "ownership": "marks"})
    return command


@pytest.fixture
def strange(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that were taken for strangers', whether they differed or not."""
    found: list[bytes] = []
    plain = repair.Repairs.strange

    def recorded(self: repair.Repairs, paths: Iterable[bytes]) -> None:
        taken = list(paths)
        found.extend(taken)
        plain(self, taken)

    monkeypatch.setattr(repair.Repairs, "strange", recorded)
    return found
