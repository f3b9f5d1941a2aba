"""Three ZooKeeper servers: one that dies, one that stands still, one that lags behind. Whatever a
worker reconnects to, no key goes back to an older value."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from tests import ensemble, polling, proxy
from tests.integration import mirroring, sessions
from zk2etcd import errors, messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.zookeeper import protocol
from zk2etcd_workers.zookeeper.servers import probing

OTHER = messages.Identity("other", "w0", 1)
QUICK = {"session_timeout": 4.0, "connect_timeout": 2.0, "request_timeout": 2.0}


@pytest.fixture(scope="module")
def three() -> Iterator[ensemble.Ensemble]:
    with servers.opened() as box:
        made = ensemble.Ensemble(box)
        yield made
        made.close()


@pytest.fixture
def world(three: ensemble.Ensemble, etcd: servers.Etcd, prefix: str) -> Iterator[mirroring.World]:
    """A prefix of one's own; the observer may use any member."""
    hosts = ",".join(three.addresses)
    with mirroring.World(hosts, etcd.address, prefix) as made:
        yield made


class Counting:
    """Sets nodes to ever larger numbers, and sees that etcd never goes back."""

    def __init__(self, world: mirroring.World, *names: str) -> None:
        self._world = world
        self._paths = [world.path(name) for name in names] or [world.root]
        self._watch = world.etcd.watch(world.etcd.revision() + 1)
        self._last = 0
        for path in self._paths:
            world.zk.create(path, b"0", makepath=True)

    def go_on(self, times: int = 20) -> None:
        for _ in range(times):
            self._last += 1
            for path in self._paths:
                self._world.zk.retry(self._world.zk.set, path, b"%d" % self._last)

    def arrived(self, timeout: float = 10.0) -> None:
        wanted = b"%d" % self._last
        polling.until(
            lambda: all(self._world.etcd.value(path) == wanted for path in self._paths),
            timeout,
            what=f"{self._last} in etcd",
        )

    def never_went_back(self) -> None:
        """Every key only ever grew, by a history with more than one step."""
        self._world.etcd.put(self._world.state + "/end", b"")
        polling.until(lambda: self._watch.events[-1].key.endswith(b"/end"))
        seen: dict[bytes, list[int]] = defaultdict(list)
        for event in self._watch.events:
            if event.key.decode() in self._paths:
                assert event.value is not None, f"{event.key!r} was deleted"
                seen[event.key].append(int(event.value))
        assert len(seen) == len(self._paths)
        for values in seen.values():
            assert values == sorted(values), values
            assert len(values) > 1


def _zxid(member: ensemble.Member) -> int:
    found = probing.zxid(member.ask("srvr"))
    assert found is not None
    return found


def _peer(worker: mirroring.Worker) -> str:
    """The address that the worker's session is connected to."""
    sides = worker._worker._sides
    assert sides is not None
    client = sides.session._client
    assert client is not None
    host, port = client._connection._socket.getpeername()[:2]
    return f"{host}:{port}"


def test_one_dead_member_of_three(world: mirroring.World, three: ensemble.Ensemble) -> None:
    numbers = Counting(world)
    worker = world.worker(zookeeper={"hosts": three.addresses, **QUICK})
    worker.follows()
    numbers.go_on()
    used = next(each for each in three.members if each.address == _peer(worker))
    used.kill()
    try:
        numbers.go_on()
        numbers.arrived(30)  # the leader may have been the one
        assert _peer(worker) != used.address
    finally:
        used.start()
    numbers.go_on()
    numbers.arrived()
    numbers.never_went_back()


def test_a_member_that_stands_still_while_the_others_go_on(
    world: mirroring.World, three: ensemble.Ensemble
) -> None:
    numbers = Counting(world)
    still = three.follower()
    other = next(each for each in three.members if each is not still)
    with proxy.Proxy(still.address) as first, proxy.Proxy(other.address) as second:
        second.refuse()
        worker = world.worker(zookeeper={"hosts": [first.address, second.address], **QUICK})
        worker.follows()
        numbers.go_on()
        numbers.arrived()
        second.accept()
        still.freeze()
        try:
            numbers.go_on()
            numbers.arrived(12)
            assert _peer(worker) == second.address
        finally:
            still.thaw()
        second.refuse()
        numbers.go_on()
        numbers.arrived(12)
        assert _peer(worker) == first.address
        worker.follows()
        numbers.never_went_back()


def test_an_answer_from_before_the_floor_is_a_stale_read(
    world: mirroring.World, three: ensemble.Ensemble
) -> None:
    """The floor rose while the session was open: another worker has mirrored further."""
    lags = three.follower()
    other = next(each for each in three.members if each is not lags)
    world.zk.create(world.root, b"old")
    root = world.root.encode()
    made = sessions.Opened(lags.address, session_timeout=20.0).connected()
    polling.until(lambda: made.read([(protocol.GET_DATA, root)]).results[0].data == b"old")
    lags.lag()
    try:
        world.zk.retry(world.zk.set, world.root, b"new")
        polling.until(lambda: _zxid(other) > _zxid(lags))
        trusting = made.read([(protocol.GET_DATA, root)])
        assert trusting.error is None
        assert trusting.results[0].data == b"old", "it does not lag: the test shows nothing"
        made.session.open(_zxid(other))
        doubting = made.read([(protocol.GET_DATA, root)])
        assert isinstance(doubting.error, errors.StaleRead)
        polling.until(lambda: "it lags" in made.session.trouble, what="refused, and said why")
        assert not made.session.connected
    finally:
        lags.catch_up()
    polling.until(lambda: made.session.connected, what="connected again")
    polling.until(lambda: made.read([(protocol.GET_DATA, root)]).results[0].data == b"new")
    made.session.close()


def test_a_lagging_follower_is_refused_and_said_to_lag(
    world: mirroring.World, three: ensemble.Ensemble
) -> None:
    """A session that was opened before the follower lagged, and a shard that another worker has
    mirrored further since: what the follower says of it is older than what etcd holds."""
    numbers = Counting(world, "theirs")
    world.zk.create(world.path("ours"), b"")
    lags = three.follower()
    other = next(each for each in three.members if each is not lags)
    ours, theirs = world.path("ours"), world.path("theirs")
    with proxy.Proxy(lags.address) as line:
        before = world.worker(targets={theirs: theirs}, zookeeper={"hosts": [other.address]})
        before.follows()
        after = world.worker(
            targets={ours: ours, theirs: theirs},
            identity=OTHER,
            zookeeper={"hosts": [line.address], **QUICK},
        )
        after.wait(mirroring.is_following, what="its own shard followed")
        after.wait(lambda report: report.holder, number=1, what="the other's waited for")
        lags.lag()
        try:
            numbers.go_on()
            numbers.arrived()
            before.drain()
            report = after.wait(
                lambda report: "it lags" in (report.error or ""), number=1, what="the lag is said"
            )
            assert report.phase == "error"
            assert lags.mode() == "follower", "it lags no more: the test shows nothing"
            assert _zxid(lags) < _zxid(other)
            line.retarget(other.address)
            after.wait(mirroring.is_following, number=1, what="followed at another member")
            numbers.go_on()
            numbers.arrived()
        finally:
            lags.catch_up()
        numbers.never_went_back()


def test_a_lagging_follower_is_used_again_once_it_has_caught_up(
    world: mirroring.World, three: ensemble.Ensemble
) -> None:
    numbers = Counting(world)
    lags = three.follower()
    other = next(each for each in three.members if each is not lags)
    with proxy.Proxy(other.address) as line:
        worker = world.worker(zookeeper={"hosts": [line.address], **QUICK})
        worker.follows()
        lags.lag()
        try:
            numbers.go_on()
            numbers.arrived()
            line.retarget(lags.address)
            worker.wait(lambda report: "it lags" in (report.error or ""), what="the lag is said")
            numbers.go_on()
            assert world.etcd.value(world.root) == b"20"
        finally:
            caught_up = time.monotonic()
            lags.catch_up()
        numbers.arrived()
        assert time.monotonic() - caught_up < 15
        worker.follows()
        numbers.never_went_back()
