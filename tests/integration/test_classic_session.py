"""The classic protocol on the wire of real servers: what one session does, request by request."""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests import polling
from tests.integration import mirroring, observing, sessions
from zk2etcd import metrics
from zk2etcd.config import connections
from zk2etcd.sandbox import servers
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import connection, outbox, protocol, reply as replies, session
from zk2etcd_workers.zookeeper.classic import arming

GET, LIST = protocol.GET_DATA, protocol.GET_CHILDREN
CREATED, DELETED = 1, 2


@pytest.fixture(params=["3.4", "installed"])
def world(
    request: pytest.FixtureRequest, etcd: servers.Etcd, prefix: str
) -> Iterator[mirroring.World]:
    name = "old" if request.param == "3.4" else "zookeeper"
    server: servers.ZooKeeper = request.getfixturevalue(name)
    with mirroring.World(server.address, etcd.address, prefix) as made:
        yield made


@pytest.fixture
def opened(world: mirroring.World) -> Iterator[sessions.Opened]:
    made = sessions.Opened(world.zookeeper, protocol="classic").connected()
    yield made
    made.session.close()


def _armed(opened: sessions.Opened) -> list[arming.SetWatches]:
    """Keep what is armed from now on from going: the test lets it go."""
    standing = opened.session._standing
    assert standing is not None
    held: list[arming.SetWatches] = []
    standing.arming._send = held.append
    return held


def _walk(opened: sessions.Opened, *paths: bytes) -> replies.Reply:
    ops = [(GET, path) for path in paths]
    opened.session.read(ops, opened.replies.put, permits=0, walks=True)
    return opened.answer()


def _let_go(opened: sessions.Opened, held: list[arming.SetWatches]) -> None:
    """What was held goes, and then a `sync`."""
    for request in held:
        opened.session._arm(request)
    opened.session.sync(b"/", opened.replies.put)
    assert opened.answer().error is None


def test_reads_are_answered_in_their_order(opened: sessions.Opened, world: mirroring.World) -> None:
    """More of them than one train has, some of which miss, and one too large for a buffer."""
    root = world.root.encode()
    large = b"x" * 900_000
    observing.seed(world.zk, [(world.root, b"root"), (world.path("large"), large)])
    observing.seed(world.zk, ((world.path(f"n{n}"), b"%d" % n) for n in range(150)))
    ops = [(GET, root + b"/n%d" % n) for n in range(150)]
    ops[20:20] = [(GET, root + b"/none"), (LIST, root), (GET, root + b"/large"), (LIST, b"/none")]
    reply = opened.read(ops)
    assert reply.error is None
    found = list(reply.results)
    missing, names, huge, none = found[20:24]
    del found[20:24]
    assert [node.data for node in found] == [b"%d" % n for n in range(150)]
    assert missing is none is tree.Miss.NO_NODE
    assert sorted(names) == sorted([b"large", *(b"n%d" % n for n in range(150))])
    assert huge.data == large
    assert found[0].mzxid <= reply.zxid


def test_what_an_answer_asks_for_is_answered(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    """In the connection's own thread: trains, and others before and between them; while another
    thread asks, too; and over a connection that is cut in between."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b"root")])
    session, found = opened.session, queue.SimpleQueue[tuple[str, Any]]()

    def ask(name: str, left: int) -> None:
        def told(reply: replies.Reply) -> None:
            found.put((name, reply.error))
            if left:
                ask(name, left - 1)
                session.sync(root, lambda reply: found.put(("sync", reply.error)))
                if name == "cut" and left == 25:
                    session.drop("cut by the test")

        session.read([(GET, root)] * 3, told, permits=0)

    def all_told(*names: str) -> list[Any]:
        for name in names:
            ask(name, 50)
        told = [found.get(timeout=10) for _ in range(len(names) * 101)]
        assert {name for name, _ in told} == {*names, "sync"}
        assert found.empty()
        return [error for _, error in told if error is not None]

    assert not all_told("one", "two", "three")
    lost = all_told("cut")
    assert lost, "all were answered, though the connection was cut"
    polling.until(lambda: session.connected, what="connected again")
    assert not all_told("one", "two")


def test_kazoo_knows_of_what_is_sent_by_itself(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It pings after a third of a session without a request; and ends the connection if that is not
    answered in time, so one in the midst of others would be one too many."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b"root")])
    pings: list[float] = []
    ping = connection.Connection._send_ping

    def counted(self: connection.Connection, timeout: float) -> None:
        pings.append(time.monotonic())
        ping(self, timeout)

    monkeypatch.setattr(connection.Connection, "_send_ping", counted)
    opened = sessions.Opened(world.zookeeper, protocol="classic", session_timeout=6.0).connected()
    over = time.monotonic() + 4.0

    def ask(_reply: replies.Reply | None = None) -> None:
        if time.monotonic() < over:
            opened.session.read([(GET, root)] * 3, ask, permits=0)

    try:
        for _ in range(4):
            ask()
        polling.until(lambda: time.monotonic() > over, 10.0, what="the end of the requests")
        assert not pings
        polling.until(lambda: pings, 10.0, what="a ping of a session at rest")
    finally:
        opened.session.close()


def test_a_child_made_between_read_and_arming_is_told_of(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    root = world.root.encode()
    names = ["stays", "gets", "goes", "again", "had"]
    observing.seed(world.zk, [(world.root, b""), *((world.path(name), b"") for name in names)])
    events = opened.watch(root)
    held = _armed(opened)
    _walk(opened, *(root + b"/" + name.encode() for name in names))
    assert len(held) == 1
    world.zk.create(world.path("gets", "child"), b"")
    world.zk.delete(world.path("goes"))
    world.zk.delete(world.path("again"))
    world.zk.create(world.path("again"), b"")
    world.zk.create(world.path("again", "child"), b"")
    world.zk.create(world.path("had", "child"), b"")
    world.zk.delete(world.path("had", "child"))
    _let_go(opened, held)
    wanted = {
        (CREATED, root + b"/gets/child"),
        (DELETED, root + b"/goes"),
        (DELETED, root + b"/again"),
        (CREATED, root + b"/again/child"),
    }
    polling.until(lambda: set(events) >= wanted, 5, what="all that happened meanwhile")
    assert set(events) == wanted
    world.zk.create(world.path("stays", "later"), b"")
    world.zk.create(world.path("had", "later"), b"")
    wanted |= {(CREATED, root + b"/stays/later"), (CREATED, root + b"/had/later")}
    polling.until(lambda: set(events) == wanted, 5, what="what happens with the watches set")


def test_a_zxid_that_is_too_high_would_miss_it(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    """That the test before this one can fail."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b""), (world.path("leaf"), b"")])
    events = opened.watch(root)
    held = _armed(opened)
    _walk(opened, root + b"/leaf")
    world.zk.create(world.path("leaf", "child"), b"")
    held[0].since += 1
    _let_go(opened, held)
    _let_go(opened, [])
    assert events == []


def test_a_sync_comes_after_what_is_to_be_armed(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    """So what it proves holds for leaves too: a walk is under way, and its leaves are not armed."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b""), (world.path("leaf"), b"")])
    events = opened.watch(root)
    standing = opened.session._standing
    assert standing is not None
    standing.arming.begins()  # a read of the walk that has not been answered
    _walk(opened, root + b"/leaf")
    world.zk.create(world.path("leaf", "child"), b"")
    answered: list[int] = []
    opened.session.sync(root, lambda _reply: answered.append(len(standing.watches._changed)))
    polling.until(lambda: answered, 5, what="the sync")
    assert answered == [1]
    polling.until(lambda: events == [(CREATED, root + b"/leaf/child")], 5, what="the child")


def test_an_ephemeral_is_not_armed(opened: sessions.Opened, world: mirroring.World) -> None:
    root = world.root.encode()
    world.zk.create(world.root, b"")
    world.zk.create(world.path("e"), b"", ephemeral=True)
    world.zk.create(world.path("p"), b"")
    opened.watch(root)
    held = _armed(opened)
    _walk(opened, root + b"/e", root + b"/p")
    assert [each.paths for each in held] == [arming.named([root + b"/p"])]


def test_a_request_of_watches_that_is_refused_ends_the_connection(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    """Larger than the server takes: smaller ones follow."""
    opened.watch(b"/")
    most, epoch = opened.session.request_size.most, opened.session.epoch
    world.zk.create(world.root, b"")
    opened.session._arm(arming.SetWatches(1, arming.named([b"/" + b"x" * 2_000_000])))
    polling.until(lambda: opened.session.epoch > epoch + 1, 10, what="another connection")
    polling.until(lambda: opened.session.connected, 10, what="connected")
    assert opened.session.request_size.most < most


def test_the_server_gets_no_more_than_its_share(fresh_zookeeper: servers.ZooKeeper) -> None:
    """However much is wanted at once. A server that stands still shows how much is on its way."""
    settings = connections.ZooKeeper(
        hosts=[fresh_zookeeper.address], session_timeout=20.0, protocol="classic"
    )
    made = session.Session(settings, metrics.null(), 4)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    made.open(0)
    try:
        polling.until(lambda: made.connected, what="connected")
        client = made._client
        assert client is not None
        fresh_zookeeper.freeze()
        for number in range(20):
            ops = [(GET, b"/%d" % n) for n in range(number * 100, number * 100 + 100)]
            made.read(ops, answers.put, permits=0)
        assert 0 < client.in_flight <= outbox.share(4) < 100
        fresh_zookeeper.thaw()
        for _ in range(20):
            reply = answers.get(timeout=10)
            assert list(reply.results) == [tree.Miss.NO_NODE] * 100
        assert client.in_flight == 0
    finally:
        fresh_zookeeper.thaw()
        made.close()
