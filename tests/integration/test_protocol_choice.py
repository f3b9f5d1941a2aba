"""`zookeeper.protocol` on real servers of three releases: what auto picks for a connection, and
what is said when what is asked for cannot be had."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import polling, releases
from tests.integration import mirroring, observing, sessions
from zk2etcd.sandbox import servers
from zk2etcd_workers.zookeeper import connection

Started = Callable[..., sessions.Opened]


@pytest.fixture
def started(sandbox: servers.Sandbox, request: pytest.FixtureRequest) -> Started:
    """A session with a new server of a suite's release (None: the installed one)."""

    def start(suite: str | None, protocol: str = "auto", *jvm: str) -> sessions.Opened:
        path = releases.class_path(suite) if suite else None
        server = sandbox.zookeeper(durable=False, class_path=path, jvm=(*servers.QUICK_JVM, *jvm))
        server.start()
        made = sessions.Opened(server.address, protocol=protocol)
        request.addfinalizer(made.session.close)
        return made

    return start


OLD, NEW = releases.ZOOKEEPER_3_4, releases.ZOOKEEPER_3_9
OTHER_WATCHES = (
    "-Dzookeeper.watchManagerName=org.apache.zookeeper.server.watch.WatchManagerOptimized"
)


@pytest.mark.parametrize(("suite", "protocol"), [(OLD, "classic"), (None, "bulk"), (NEW, "bulk")])
def test_auto(started: Started, suite: str | None, protocol: str) -> None:
    session = started(suite).connected().session
    assert session.protocol == protocol
    assert ("has no multiRead" in session.why_classic) == (protocol == "classic")


def test_an_old_server_is_connected_to_anew_without_a_rest(
    started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends each connection on which it is asked for what it does not know."""
    rounds: list[None] = []
    one_round = connection.Connection._connect_loop

    def counted(one: connection.Connection, retry: object) -> object:
        rounds.append(None)
        return one_round(one, retry)

    monkeypatch.setattr(connection.Connection, "_connect_loop", counted)
    session = started(OLD).connected().session
    assert session.protocol == "classic"
    assert len(rounds) == 1
    epoch = session.epoch
    session.drop("a test")
    polling.until(lambda: session.connected and session.epoch > epoch, what="another connection")
    assert session.protocol == "classic"
    assert len(rounds) == 2


@pytest.mark.parametrize("suite", [None, NEW])
def test_auto_where_recursive_watches_are_refused(started: Started, suite: str | None) -> None:
    session = started(suite, "auto", OTHER_WATCHES).connected().session
    assert session.protocol == "classic"
    assert "WatchManagerOptimized" in session.why_classic


@pytest.mark.parametrize(
    ("suite", "jvm", "said"),
    [
        (OLD, (), "ZooKeeper 3.4.13 has no multiRead"),
        (None, (OTHER_WATCHES,), "refuses recursive watches"),
    ],
)
def test_bulk_where_it_is_not_had_is_one_clear_error(
    started: Started, suite: str | None, jvm: tuple[str, ...], said: str
) -> None:
    session = started(suite, "bulk", *jvm).session
    polling.until(lambda: said in session.trouble, what=said)
    assert "set zookeeper.protocol to auto or classic" in session.trouble
    assert not session.connected


def test_what_is_asked_for_is_had(started: Started) -> None:
    assert started(None, "bulk").connected().session.protocol == "bulk"
    classic = started(None, "classic").connected().session
    assert classic.protocol == "classic"
    assert classic.why_classic == ""


def test_bulk_that_is_not_trusted_any_more_is_left(started: Started) -> None:
    session = started(None).connected().session
    session.fall_back("it told of nothing")
    polling.until(lambda: session.connected and session.protocol == "classic", what="classic")
    assert session.why_classic == "it told of nothing"


@pytest.mark.parametrize(
    ("suite", "asked", "spoken"),
    [
        pytest.param(OLD, "auto", "classic", marks=pytest.mark.long),
        pytest.param(NEW, "auto", "bulk", marks=pytest.mark.long),
        pytest.param(NEW, "classic", "classic", marks=pytest.mark.long),
    ],
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
