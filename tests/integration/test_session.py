"""The ZooKeeper session: bulk reads, events and doubts, on a real server."""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tests import polling, walking
from tests.integration import mirroring, observing, sessions
from zk2etcd import errors
from zk2etcd.sandbox import servers
from zk2etcd_workers import turn
from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.walk import snapshot
from zk2etcd_workers.zookeeper import connection, protocol, reply as replies

GET, LIST = protocol.GET_DATA, protocol.GET_CHILDREN


@pytest.fixture
def opened(zookeeper: servers.ZooKeeper) -> Iterator[sessions.Opened]:
    made = sessions.Opened(zookeeper.address).connected()
    yield made
    made.session.close()


def test_a_bulk_read_answers_each_op(opened: sessions.Opened, world: mirroring.World) -> None:
    world.zk.create(world.root, b"root")
    world.zk.create(world.path("a"), "é".encode())
    world.zk.create(world.path("none"), None)
    root = world.root.encode()
    paths = [root, root + b"/a", root + b"/none", root + b"/missing"]
    reply = opened.read([*((GET, path) for path in paths), (LIST, root), (LIST, paths[-1])])
    assert reply.error is None
    assert reply.tag == "tag"
    assert reply.epoch == opened.session.epoch
    first, a, none, missing, names, no_names = reply.results
    stat = world.zk.get(world.path("a"))[1]
    assert a == tree.Node(
        paths[1], "é".encode(), stat.czxid, stat.mzxid, stat.mtime, 0, 0, stat.ctime, stat.pzxid
    )
    assert (first.data, first.children) == (b"root", 2)
    assert none.data == b""
    assert missing is no_names is tree.Miss.NO_NODE
    assert sorted(names) == [b"a", b"none"]
    assert reply.zxid >= stat.mzxid


def test_recursive_events_reach_the_nearest_sink(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    one, two = world.path("one"), world.path("one-two")
    events, others = opened.watch(one.encode()), opened.watch(two.encode())
    world.zk.create(one + "/a/b", b"", makepath=True)
    world.zk.set(one + "/a", b"1")
    world.zk.create(two, b"")
    world.zk.delete(one, recursive=True)
    created, deleted, changed = 1, 2, 3
    path = one.encode()
    wanted = [
        (created, path),
        (created, path + b"/a"),
        (created, path + b"/a/b"),
        (changed, path + b"/a"),
        (deleted, path + b"/a/b"),
        (deleted, path + b"/a"),
        (deleted, path),
    ]
    polling.until(lambda: len(events) >= len(wanted))
    assert events == wanted
    assert others == [(created, two.encode())]


def test_an_event_comes_before_any_reply_that_shows_its_change(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    """The repairs of a full sync rely on it."""
    world.zk.create(world.root, b"0")
    root = world.root.encode()
    events = opened.watch(root)
    surprises: list[bytes] = []
    seen = 0

    def replied(reply: replies.Reply) -> None:
        if int(reply.results[0].data) > len(events):
            surprises.append(reply.results[0].data)
        opened.replies.put(reply)

    writer = threading.Thread(
        target=lambda: [world.zk.set(world.root, b"%d" % n) for n in range(1, 300)]
    )
    writer.start()
    while seen < 299:
        opened.session.read([(GET, root)], replied, permits=0)
        seen = int(opened.answer().results[0].data)
    writer.join(10)
    assert surprises == []


def test_large_and_many_answers_keep_their_order(
    opened: sessions.Opened, world: mirroring.World
) -> None:
    world.zk.create(world.root, b"")
    for number in range(5):
        world.zk.create(world.path(f"n{number}"), bytes([number]) * 900_000)
    root = world.root.encode()
    for number in range(60):
        count = 1 + number % 5
        ops = [(GET, root + b"/n%d" % at) for at in range(count)]
        opened.session.read(ops, opened.replies.put, number, permits=0)
    for number in range(60):
        reply = opened.answer()
        assert reply.tag == number
        assert [node.data[0] for node in reply.results] == list(range(1 + number % 5))


def test_a_broken_connection_is_a_doubt(fresh_zookeeper: servers.ZooKeeper) -> None:
    doubts = threading.Event()
    made = sessions.Opened(fresh_zookeeper.address).connected()
    try:
        made.session.subscribe(b"/x", lambda *_: None, doubts.set)
        epoch = made.session.epoch
        made.session.drop("the test says so")
        assert doubts.wait(20)
        polling.until(lambda: made.session.connected)
        assert made.session.epoch >= epoch + 2
        fresh_zookeeper.stop()
        polling.until(lambda: not made.session.connected)
        reply = made.read([(GET, b"/")])
        assert isinstance(reply.error, errors.SessionDoubt)
    finally:
        made.session.close()


def test_a_server_that_does_not_answer_is_left(fresh_zookeeper: servers.ZooKeeper) -> None:
    made = sessions.Opened(
        fresh_zookeeper.address, session_timeout=20.0, request_timeout=0.3
    ).connected()
    try:
        fresh_zookeeper.freeze()
        made.session.read([(GET, b"/")], made.replies.put, permits=0)

        def left() -> bool:
            made.session.tend(time.monotonic())
            return not made.session.connected

        polling.until(left, 5)
        assert isinstance(made.answer().error, errors.SessionDoubt)
        assert "0.3 s" in made.session.trouble
    finally:
        fresh_zookeeper.thaw()
        made.session.close()


def test_a_server_behind_the_floor_is_refused(zookeeper: servers.ZooKeeper) -> None:
    made = sessions.Opened(zookeeper.address, floor=2**40)
    try:
        polling.until(lambda: "0x10000000000" in made.session.trouble)
        assert not made.session.connected
    finally:
        made.session.close()


def test_permits_come_back(opened: sessions.Opened, world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    root = world.root.encode()
    granted = opened.session.take(1000, live=True)
    assert granted == opened.session.budget.total
    assert opened.session.take(1, live=True) == 0
    opened.session.give(granted - 3)
    opened.session.read([(GET, root)] * 3 + [(LIST, root)], opened.replies.put)
    assert opened.answer().error is None
    assert opened.session.budget.used == 0
    opened.session.close()
    assert opened.session.take(2, live=True) == 2
    opened.session.read([(GET, root)] * 2, opened.replies.put)
    assert isinstance(opened.answer().error, errors.SessionDoubt)
    assert opened.session.budget.used == 0


def test_subscriptions_of_many_threads_are_all_kept(opened: sessions.Opened) -> None:
    roots = [b"/s%d" % number for number in range(200)]
    got: list[bytes] = []

    def sink(_kind: int, path: bytes) -> None:
        got.append(path)

    def subscribe(part: list[bytes]) -> None:
        for root in part:
            opened.session.subscribe(root, sink, lambda: None)

    threads = [threading.Thread(target=subscribe, args=(roots[at::8],)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    for root in roots:
        opened.session.event(1, root + b"/x")
    assert len(got) == len(roots)
    opened.session.unsubscribe(roots[0], sink)
    opened.session.event(1, roots[0])
    assert len(got) == len(roots)


def _asks(opened: sessions.Opened, root: bytes) -> queue.SimpleQueue[replies.Reply]:
    """Ask in a thread of its own, and come back once the request is queued."""
    found = queue.SimpleQueue[replies.Reply]()
    send = functools.partial(opened.session.read, [(GET, root)] * 3, found.put, permits=0)
    thread = threading.Thread(target=send)
    thread.start()
    thread.join(10)
    return found


@pytest.fixture
def quiet(zookeeper: servers.ZooKeeper) -> Iterator[sessions.Opened]:
    """No ping wakes its thread for the first ten seconds."""
    made = sessions.Opened(zookeeper.address, session_timeout=40.0).connected()
    yield made
    made.session.close()


def test_what_comes_while_an_answer_is_taken_is_sent_after_it(
    quiet: sessions.Opened, world: mirroring.World
) -> None:
    """Nothing wakes the connection's thread for it."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b"root")])
    asked = queue.SimpleQueue[queue.SimpleQueue[replies.Reply]]()
    for _ in range(20):
        quiet.session.read([(GET, root)], lambda _: asked.put(_asks(quiet, root)), permits=0)
        assert asked.get(timeout=10).get(timeout=10).error is None


def test_what_comes_once_the_thread_has_looked_wakes_it(
    quiet: sessions.Opened, world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b"root")])
    looks = connection.Connection._send_unwoken
    asked = queue.SimpleQueue[queue.SimpleQueue[replies.Reply]]()
    is_due = threading.Event()

    def looked(self: connection.Connection) -> None:
        looks(self)
        if is_due.is_set():
            is_due.clear()
            asked.put(_asks(quiet, root))

    monkeypatch.setattr(connection.Connection, "_send_unwoken", looked)
    for _ in range(20):
        is_due.set()
        assert quiet.read([(GET, root)]).error is None
        assert asked.get(timeout=10).get(timeout=10).error is None


def test_each_of_many_threads_is_answered(opened: sessions.Opened, world: mirroring.World) -> None:
    """Each waits for its answer before it asks again."""
    root = world.root.encode()
    observing.seed(world.zk, [(world.root, b"root")])
    session, answered = opened.session, list[int]()

    def ask(times: int) -> None:
        found = queue.SimpleQueue[replies.Reply]()
        for number in range(times):
            if number % 5:
                session.read([(protocol.GET_DATA, root)] * 3, found.put, permits=0)
            else:
                session.sync(root, found.put)
            assert found.get(timeout=10).error is None
            answered.append(number)

    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # They meet at every step that there is.
    try:
        for many in (1, 2, 8):
            answered.clear()
            threads = [threading.Thread(target=ask, args=(400,)) for _ in range(many)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert len(answered) == 400 * many
    finally:
        sys.setswitchinterval(usual)


def test_a_walk_of_a_real_tree(opened: sessions.Opened, world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    names = ["a", "a-b", "a!", "a.b", "中", "é", "x y"]
    items = [(world.path(name), name.encode()) for name in names]
    items += [(world.path(name, other), b"") for name in names for other in names]
    items += [(world.path("a", "a", f"{number:04d}"), b"v") for number in range(1500)]
    observing.seed(world.zk, items)
    for largest in (None, 10):
        shard = mapping.Mapping(world.root, "/other")
        walk = snapshot.Walk(opened.session, shard, turn.Turn(), largest=largest)
        emitted = walking.emitted(walk, shard)
        keys = [wanted.key for wanted in emitted]
        assert keys == sorted(keys)
        wanted = dict(observing.nodes(world.zk, world.root))
        assert {each.path.decode(): each.value for each in emitted} == wanted
        assert walk.largest == 3
        assert walk.zxid >= max(each.zxid for each in emitted)
    assert opened.session.budget.used == 0


def test_the_protocol_is_found_out(opened: sessions.Opened) -> None:
    assert opened.session.protocol == "bulk"


def test_a_request_that_the_server_throws_away_is_overload_and_no_doubt(
    sandbox: servers.Sandbox,
) -> None:
    """ThrottledOp, which kazoo has no class for: its thread would end of it."""
    throttle = ("request_throttle_max_requests=1", "request_throttle_stall_time=20")
    keys = (*throttle, "throttled_op_wait_time=5")
    server = sandbox.zookeeper(
        durable=False, jvm=(*servers.QUICK_JVM, *(f"-Dzookeeper.{key}" for key in keys))
    )
    server.start()
    made = sessions.Opened(server.address).connected()
    for _ in range(100):
        made.session.read([(protocol.GET_CHILDREN, b"/")] * 200, made.replies.put, permits=0)
    said = {str(made.answer().error) for _ in range(100)}
    assert "ZooKeeper is overloaded: it threw a request away unread" in said
    assert not any("broke off" in each for each in said)
    assert made.session.connected
    assert made.session.epoch == 1
    assert made.read([(protocol.GET_DATA, b"/")]).error is None
    made.session.close()
