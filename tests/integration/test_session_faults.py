"""What a ZooKeeper session goes through in a long life, on real servers and bad networks: expiry, a
session that was silently replaced, servers that lost what they knew, names that move, silence."""

from __future__ import annotations

import contextlib
import shutil
import socket
import struct
import threading
import time
from collections.abc import Iterator
from typing import Any

import kazoo.protocol.connection
import pytest

from tests import polling, proxy
from tests.integration import mirroring, sessions
from zk2etcd import errors
from zk2etcd.sandbox import server_process, servers
from zk2etcd_workers.zookeeper import connection, outbox, protocol as protocols

GET = protocols.GET_DATA
_CONNECT = struct.Struct(">iiqiqi16s")  # length, protocol, last zxid, time-out, session, password


class Greetings:
    """Reads, and can change, what a client says first on each connection."""

    def __init__(self, *, forget_session: bool = False) -> None:
        self.seen: list[tuple[int, int]] = []
        """(last zxid, session) of each connect request."""
        self._forget = forget_session

    def __call__(self, first: bytes) -> bytes:
        if len(first) < _CONNECT.size:
            return first  # a four-letter word
        length, protocol, zxid, timeout, session, size, password = _CONNECT.unpack_from(first)
        self.seen.append((zxid, session))
        if self._forget:
            session, password = 0, bytes(16)
        head = _CONNECT.pack(length, protocol, zxid, timeout, session, size, password)
        return head + first[_CONNECT.size :]


def _states(worker: mirroring.Worker) -> list[str]:
    """What kazoo says of its client from now on."""
    states: list[str] = []
    client = worker.session._client
    assert client is not None
    client.add_listener(states.append)
    return states


def _id(worker: mirroring.Worker) -> int:
    client = worker.session._client
    assert client is not None
    assert client.client_id is not None
    return int(client.client_id[0])


@contextlib.contextmanager
def _black_hole(host: str = "127.0.0.1", port: int = 0) -> Iterator[socket.socket]:
    """Takes connections and never answers one."""
    with contextlib.closing(socket.create_server((host, port))) as listener:
        yield listener


# --- one session's end, and the next -------------------------------------------------------------


def test_an_expired_session_is_followed_by_one_at_the_floor(world: mirroring.World) -> None:
    greetings = Greetings()
    world.zk.create(world.root, b"")
    with proxy.Proxy(world.zookeeper, greetings) as line:
        worker = world.worker(
            zookeeper={"hosts": [line.address], "session_timeout": 1.0, "connect_timeout": 20.0}
        )
        worker.follows()
        first, states, floor = _id(worker), _states(worker), world.checkpoint(worker)
        line.refuse()
        polling.until(lambda: states == ["SUSPENDED"], what="suspended")
        world.zk.create(world.path("meanwhile"), b"1")
        alive = f"0x{first & (2**64 - 1):x}".encode()
        told = servers.ZooKeeper.ask
        server = _asked(world.zookeeper)
        polling.until(lambda: alive not in told(server, "dump"), what="expired on the server")
        greetings.seen.clear()
        line.accept()
        world.equal()
        worker.follows()
        assert "LOST" in states
        assert _id(worker) != first
        fresh = [zxid for zxid, session in greetings.seen if session == 0]
        assert fresh
        assert min(fresh) >= floor > 0
        world.zk.create(world.path("after"), b"1")
        world.equal(5)


def _asked(address: str) -> Any:
    """Something that answers four-letter words of the server at `address`."""
    server = servers.ZooKeeper.__new__(servers.ZooKeeper)
    server.port = int(address.rpartition(":")[2])
    return server


def test_a_session_that_is_silently_replaced_has_its_watch_again(world: mirroring.World) -> None:
    """Some servers answer a reconnect with a new session and say nothing: no LOST, no watches."""
    world.zk.create(world.root, b"")
    with proxy.Proxy(world.zookeeper, Greetings(forget_session=True)) as line:
        worker = world.worker(zookeeper={"hosts": [line.address]})
        worker.follows()
        first, states = _id(worker), _states(worker)
        line.cut()
        polling.until(lambda: states == ["SUSPENDED", "CONNECTED"], what="reconnected")
        assert _id(worker) != first
        worker.follows()
        for number in range(20):
            world.zk.create(world.path(f"n{number}"), b"1")
        world.equal(5)
        assert "LOST" not in states


def test_a_client_that_stays_suspended_is_replaced() -> None:
    with proxy.Proxy("127.0.0.1:1") as nowhere:
        made = sessions.Opened(nowhere.address, session_timeout=1.0, connect_timeout=1.0)
        try:
            first = made.session._client
            polling.until(lambda: nowhere.connections > 0)
            made.session.tend(time.monotonic() + 1.5)
            assert made.session._client is first
            made.session.tend(time.monotonic() + 2.5)
            assert made.session._client is not first
            before = nowhere.connections
            polling.until(lambda: nowhere.connections > before, what="the new one connects")
        finally:
            made.session.close()


# --- a server that lost what it knew -------------------------------------------------------------


class Backup:
    """A copy of a running ZooKeeper's data, which may be put back later."""

    def __init__(self, server: servers.ZooKeeper) -> None:
        self._server = server
        self._copy = server.folder / "backup"
        shutil.copytree(server.data, self._copy)

    def restore(self) -> None:
        self._server.stop()
        self._server.wipe()
        shutil.copytree(self._copy, self._server.data)
        self._server.start()


@pytest.mark.long
def test_a_server_restored_to_before_the_floor_is_named_and_waited_for(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    backup = Backup(fresh_zookeeper)
    for number in range(20):
        world.zk.create(world.path(f"n{number}"), b"v")
    worker = world.worker(zookeeper={"session_timeout": 2.0, "connect_timeout": 2.0})
    worker.follows()
    before, floor = world.etcd.below(world.root), world.checkpoint(worker)
    world.zk.stop()
    backup.restore()
    report = worker.wait(
        lambda report: report.error is not None and "restored from a backup" in report.error,
        what="the reason",
    )
    assert report.phase == "error"
    assert report.error is not None
    assert fresh_zookeeper.address in report.error
    assert f"{floor:#x}" in report.error
    assert [below <= floor for below in worker.session.behind.values()] == [True]
    client = worker.session._client
    polling.until(lambda: worker.session._client is not client, what="a new client")
    worker.wait(lambda report: report.attempt > 2, what="further attempts")
    assert world.etcd.below(world.root) == before


def test_a_client_ahead_of_a_restored_server_is_replaced_by_one_that_is_not(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    """What was mirrored is all there, but the session has seen more: kazoo would be refused for
    ever, and never say that its session is lost."""
    world = fresh_world
    world.zk.create(world.root, b"1")
    worker = world.worker(zookeeper={"session_timeout": 2.0, "connect_timeout": 2.0})
    worker.follows()
    backup = Backup(fresh_zookeeper)
    for number in range(20):
        world.zk.create(f"/elsewhere{number}", b"")
    synced = world.zk.exists("/elsewhere19").czxid
    client = worker.session._client
    assert client is not None
    polling.until(lambda: client.last_zxid >= synced, what="the session has seen them")
    assert world.checkpoint(worker) < synced
    world.zk.stop()
    backup.restore()
    polling.until(lambda: worker.session._client is not client, 10, what="a new client")
    polling.until(lambda: worker.session.connected, what="connected")
    report = worker.follows()
    assert report.guard is None
    assert world.etcd.value(world.root) == b"1"


# --- hosts ---------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_dead_host_and_one_that_never_answers_are_passed_over(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    dead = f"127.0.0.1:{server_process.free_port()}"
    with _black_hole() as hole, proxy.Proxy(world.zookeeper) as line:
        silent = "{}:{}".format(*hole.getsockname())
        worker = world.worker(
            zookeeper={"hosts": [dead, silent, line.address], "session_timeout": 6.0}
        )
        worker.follows(12)
        for number in range(4):
            line.cut()
            world.zk.create(world.path(f"n{number}"), b"1")
            world.equal(8)
        assert worker.follows().guard is None


def test_a_server_that_is_slow_to_greet_gets_more_time_with_each_attempt(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE", 0.5)
    with proxy.Proxy(world.zookeeper) as line:
        line.delay(0.6, "both")
        made = sessions.Opened(line.address, session_timeout=20.0).connected()
        assert 2 <= line.connections <= 4
        assert made.session.handshake == 0.5, "it is not impatient again"
        line.delay(0.0, "both")
        made.session.close()


def test_names_are_resolved_again_at_each_reconnect(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(world.zookeeper.rpartition(":")[2])
    answers: list[str] = []
    asked = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **options: Any) -> Any:
        if host != "zookeeper.test":
            return asked(host, *rest, **options)
        if not answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [each for address in answers for each in asked(address, *rest, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(kazoo.protocol.connection.random, "shuffle", lambda _: None)
    world.zk.create(world.root, b"")
    worker = world.worker(zookeeper={"hosts": [f"zookeeper.test:{port}"]})
    report = worker.wait(lambda report: report.error, what="an error")
    assert report.error is not None
    assert "zookeeper.test: the name cannot be resolved" in report.error
    with _black_hole("127.0.0.3", port) as gone:
        gone.settimeout(0.2)
        with proxy.Proxy(world.zookeeper, at=("127.0.0.2", port)):
            answers[:] = ["127.0.0.2", "127.0.0.3"]
            worker.follows()
            answers[:] = ["127.0.0.1"]
        world.zk.create(world.path("moved"), b"1")
        world.equal(6)
        with pytest.raises(TimeoutError):
            gone.accept()  # an address from before the move was tried


# --- silence -------------------------------------------------------------------------------------


def test_requests_to_a_frozen_server_do_not_pile_up_and_all_end(
    fresh_zookeeper: servers.ZooKeeper,
) -> None:
    made = sessions.Opened(
        fresh_zookeeper.address, session_timeout=20.0, request_timeout=1.0
    ).connected()
    session, count = made.session, 1500
    client = session._client
    assert client is not None
    large = [(GET, b"/" + b"x" * 200)] * 200

    def send() -> None:
        for number in range(count):
            session.read(large, made.replies.put, number, permits=0)

    fresh_zookeeper.freeze()
    sender = threading.Thread(target=send, daemon=True)
    try:
        sender.start()
        sender.join(10)
        assert not sender.is_alive(), "a caller was blocked"
        assert client.in_flight == outbox.LIMIT
        assert len(client._queue) + len(client._pending) <= outbox.LIMIT

        def left() -> bool:
            session.tend(time.monotonic())
            return not session.connected

        polling.until(left, 5)
        answers = [made.answer() for _ in range(count)]
        assert all(isinstance(reply.error, errors.SessionDoubt) for reply in answers)
        assert client.in_flight == 0
    finally:
        fresh_zookeeper.thaw()
    polling.until(lambda: session.connected, what="connected again")
    for number in range(500):
        session.read([(GET, b"/")], made.replies.put, number, permits=0)
    assert [made.answer().tag for _ in range(500)] == list(range(500))
    made.session.close()


def test_many_shards_on_a_frozen_zookeeper_keep_turning(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    world = fresh_world
    targets = {f"/s{number:02d}": f"/s{number:02d}" for number in range(40)}
    for path in targets:
        world.zk.create(path, b"1")
    worker = world.worker(
        targets=targets, zookeeper={"session_timeout": 3.0, "request_timeout": 1.0}
    )
    worker.follows(20)
    fresh_zookeeper.freeze()
    try:
        worker.wait(lambda report: report.phase == "error", 25, what="an error is shown")
    finally:
        fresh_zookeeper.thaw()
    worker.follows(20)
    polling.until(lambda: world.zk.connected, 20)
    world.zk.retry(world.zk.set, "/s39", b"2")
    polling.until(lambda: world.etcd.value("/s39") == b"2", 5)
    assert max(report.oldest_turn_seconds for report in worker.reports) < 5
