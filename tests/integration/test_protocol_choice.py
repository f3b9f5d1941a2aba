"""`zookeeper.protocol` on real servers of three releases: what auto picks, also where no server
tells its release, and what is said when what is asked for cannot be had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import releases
from tests.integration import mirroring, observing
from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd.sandbox import servers
from zk2etcd_workers.zookeeper import protocol_choice, server_version

Started = Callable[..., connections.ZooKeeper]


@pytest.fixture
def started(sandbox: servers.Sandbox, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Settings for a new server of a suite's release (None: the installed one)."""

    def start(
        suite: str | None, protocol: str = "auto", *, tells: bool = True
    ) -> connections.ZooKeeper:
        path = releases.class_path(suite) if suite else None
        server = sandbox.zookeeper(durable=False, class_path=path)
        server.start()
        if not tells:
            # Real servers answer `srvr` whatever their whitelist says; what stands before them may
            # not let it through.
            monkeypatch.setattr(server_version, "told", lambda _answer: None)
        return connections.ZooKeeper.model_validate(
            {"hosts": [server.address], "protocol": protocol}
        )

    return start


OLD, NEW = releases.ZOOKEEPER_3_4, releases.ZOOKEEPER_3_9


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize(("suite", "protocol"), [(OLD, "classic"), (None, "bulk"), (NEW, "bulk")])
def test_auto(started: Started, suite: str | None, protocol: str, *, tells: bool) -> None:
    settings = started(suite, tells=tells)
    assert (server_version.ask(settings) is not None) == tells
    assert protocol_choice.choose(settings) == protocol


@pytest.mark.parametrize("tells", [True, False])
def test_bulk_on_an_old_server_is_one_clear_error(started: Started, *, tells: bool) -> None:
    settings = started(OLD, "bulk", tells=tells)
    with pytest.raises(errors.ZooKeeperError, match=r"set zookeeper\.protocol to auto or classic"):
        protocol_choice.choose(settings)


def test_what_is_asked_for_is_had(started: Started) -> None:
    assert protocol_choice.choose(started(None, "bulk")) == "bulk"
    assert protocol_choice.choose(started(None, "classic")) == "classic"


def test_nobody_there_is_an_error(started: Started, sandbox: servers.Sandbox) -> None:
    settings = started(None)
    sandbox.close()
    with pytest.raises(errors.ZooKeeperError, match="no ZooKeeper server answers"):
        protocol_choice.choose(settings)


@pytest.mark.parametrize(
    ("suite", "asked", "spoken"),
    [(OLD, "auto", "classic"), (NEW, "auto", "bulk"), (NEW, "classic", "classic")],
)
def test_a_mirror_with_another_etcd_too(
    sandbox: servers.Sandbox, suite: str, asked: str, spoken: str
) -> None:
    """From each ZooKeeper into etcd 3.5, and the report says how."""
    server = sandbox.zookeeper(durable=False, class_path=releases.class_path(suite))
    etcd = sandbox.etcd(durable=False, binary=releases.etcd(releases.ETCD_3_5_16))
    for each in (server, etcd):
        each.start()
    with mirroring.World(server.address, etcd.address, "/mirrored") as world:
        observing.seed(world.zk, [(world.root, b""), (world.path("p"), b"")])
        observing.seed(world.zk, ((world.path("p", f"{n}"), b"%d" % n) for n in range(2_000)))
        worker = world.worker(zookeeper={"protocol": asked})
        assert worker.follows().protocol == spoken
        world.equal()
        world.zk.set(world.path("p", "7"), b"live")
        world.zk.create(world.path("p", "7", "below"), b"")
        world.zk.delete(world.path("p", "8"))
        assert len(world.equal()) == 2_002
        world.etcd.put(world.path("p", "9"), b"tampered")
        worker.full_sync()
        world.equal()
        assert worker.counts.fixes == {"put": 1, "delete": 0}


def test_a_mirror_that_asks_an_old_server_for_bulk_says_so(
    sandbox: servers.Sandbox, etcd: servers.Etcd
) -> None:
    server = sandbox.zookeeper(durable=False, class_path=releases.class_path(OLD))
    server.start()
    with mirroring.World(server.address, etcd.address, "/refused") as world:
        worker = world.worker(zookeeper={"protocol": "bulk"})
        report = worker.wait(lambda each: each.error is not None)
        assert report.error is not None
        assert "ZooKeeper 3.4.13 has no multiRead" in report.error
        assert report.phase == "error"
