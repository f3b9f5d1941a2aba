"""Several etcd members: one that is away, one that is frozen, all of them restarted in turn, a
leader lost, all under load. No value may be lost or regress, and no write be sent a second time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

import grpc
import kazoo.client
import pytest

from tests import etcd_cluster, polling, proxy
from tests.integration import etcd_clients, mirroring, observing
from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, endpoints as members, wire


@pytest.fixture
def cluster(sandbox: servers.Sandbox) -> etcd_cluster.Cluster:
    return etcd_cluster.Cluster(sandbox)


@pytest.fixture
def world(
    zookeeper: servers.ZooKeeper, cluster: etcd_cluster.Cluster, prefix: str
) -> Iterator[mirroring.World]:
    with mirroring.World(zookeeper.address, cluster.members[0].address, prefix) as made:
        yield made


def test_calls_that_fail_together_leave_a_member_once(fresh_etcd: servers.Etcd) -> None:
    """Two steps on in a list of two would be the member that is away again."""
    put = wire.request(wire.Txn([], [wire.Put(b"/a", b"1")]))
    for together in (2, 4, 7):
        urls = [etcd_cluster.unused(), fresh_etcd.url]
        settings = connections.Etcd.model_validate({"endpoints": urls})
        with contextlib.closing(members.Endpoints(settings)) as endpoints:
            calls = [endpoints.send("KV/Txn", put, 2.0) for _ in range(together)]
            for call in calls:
                assert call.future.exception(5) is not None
                failure = endpoints.failure(call, write=True)
                assert isinstance(failure, errors.AmbiguousWrite)
            assert endpoints.current.endpoint == fresh_etcd.url
            assert endpoints.send("KV/Txn", put, 2.0).future.result(5).succeeded


def test_a_distant_member_is_reached_by_the_first_call(fresh_etcd: servers.Etcd) -> None:
    """Half a second each way, and a connection takes several ways."""
    with proxy.Proxy(fresh_etcd.address) as distance:
        distance.delay(0.5, "both")
        urls = [f"http://{distance.address}"]
        with contextlib.closing(etcd_clients.at(urls, request_timeout=5.0)) as client:
            assert client.range(b"/", b"0").total == 0


def test_a_write_in_doubt_is_not_sent_to_the_next_member(cluster: etcd_cluster.Cluster) -> None:
    first = cluster.members[0]
    outsider = observing.Etcd(cluster.members[1].address)
    client = etcd_clients.at(cluster.urls, request_timeout=1.0)
    with contextlib.closing(client), contextlib.closing(outsider):
        client.txn(wire.Txn([], [wire.Put(b"/a", b"before")]))
        first.kill()
        with pytest.raises(errors.AmbiguousWrite):
            client.txn(wire.Txn([], [wire.Put(b"/a", b"in doubt")]))
        # A re-sent one would have landed by the time that a later write has.
        polling.until(lambda: _put_later(client), 10)
        assert _holds_value(outsider, "/b", b"later")
        assert _holds_value(outsider, "/a", b"before")


def _put_later(client: engine.Client) -> bool:
    try:
        return client.txn(wire.Txn([], [wire.Put(b"/b", b"later")])).succeeded
    except errors.AmbiguousWrite:
        # The leader may have been the one that was killed.
        return False


class Counters(observing.Meanwhile):
    """Somebody who counts up in some nodes as fast as ZooKeeper answers."""

    def __init__(self, world: mirroring.World, names: int = 10) -> None:
        self._paths = [world.path(f"c{number}") for number in range(names)]
        for path in self._paths:
            world.zk.create(path, b"0", makepath=True)
        super().__init__(world.zookeeper, self._count)

    def _count(self, client: kazoo.client.KazooClient, number: int) -> None:
        for each in [client.set_async(path, b"%d" % (number + 1)) for path in self._paths]:
            each.get(timeout=20)

    def beyond(self, changes: int) -> Callable[[], bool]:
        """Asks whether so many rounds are over."""
        return lambda: self.changes > changes


def _histories(url: str, root: str) -> Mapping[bytes, list[int]]:
    """The counts that each key went through, from etcd's own history."""
    outsider = observing.Etcd(url.partition("://")[2])
    with contextlib.closing(outsider):
        last = outsider.revision()
        watch = outsider.watch(1)
        polling.until(lambda: watch.events and watch.events[-1].revision >= last - 1, 20)
        found: dict[bytes, list[int]] = {}
        for event in list(watch.events):
            if event.key.startswith(f"{root}/c".encode()) and event.value is not None:
                found.setdefault(event.key, []).append(int(event.value))
        return found


def _settled(world: mirroring.World, url: str, timeout: float) -> None:
    outsider = observing.Etcd(url.partition("://")[2])
    wanted = world.wanted()
    with contextlib.closing(outsider):
        polling.until(lambda: _holds(outsider, world.root, wanted), timeout, every=0.05)


def _holds_value(outsider: observing.Etcd, key: str, value: bytes) -> bool:
    return polling.until(lambda: _got(outsider, key), 10) == [value]


def _got(outsider: observing.Etcd, key: str) -> list[bytes | None]:
    with contextlib.suppress(grpc.RpcError):
        return [outsider.value(key)]
    return []


def _holds(outsider: observing.Etcd, root: str, wanted: Mapping[bytes, bytes]) -> bool:
    with contextlib.suppress(grpc.RpcError):
        return outsider.values(root) == wanted
    return False


def _assert_no_regress(world: mirroring.World, url: str) -> None:
    histories = _histories(url, world.root)
    assert len(histories) == 10
    for key, counts in histories.items():
        assert counts == sorted(counts), f"{key!r} went back"


def _following(
    world: mirroring.World, cluster: etcd_cluster.Cluster, request_timeout: float
) -> mirroring.Worker:
    """A worker of the whole cluster, and of a root without children."""
    world.zk.create(world.root, b"")
    worker = world.worker(etcd={"endpoints": cluster.urls, "request_timeout": request_timeout})
    worker.follows()
    return worker


def test_members_restarted_one_by_one_under_load(
    world: mirroring.World, cluster: etcd_cluster.Cluster
) -> None:
    worker = _following(world, cluster, 2.0)
    counters = Counters(world)
    back = []
    try:
        for member in cluster.members:
            before = counters.changes
            member.stop()
            polling.until(counters.beyond(before + 20), 10)
            member.start()
            started = time.monotonic()
            polling.until(lambda: worker.shard() and mirroring.is_following(worker.follows()), 15)
            back.append(time.monotonic() - started)
    finally:
        counters.stop()
    assert max(back) < 8, back
    _settled(world, cluster.urls[2], 10)
    _assert_no_regress(world, cluster.urls[1])


def test_the_leader_is_killed_under_load(
    world: mirroring.World, cluster: etcd_cluster.Cluster
) -> None:
    worker = _following(world, cluster, 2.0)
    leader = cluster.leader()
    others = [member for member in cluster.members if member is not leader]
    counters = Counters(world)
    try:
        polling.until(lambda: counters.changes > 20, 10)
        leader.kill()
        killed = counters.changes
        polling.until(lambda: counters.changes > killed + 50, 10)
    finally:
        counters.stop()
    _settled(world, others[0].url, 15)
    worker.follows()
    _assert_no_regress(world, others[1].url)


def test_a_frozen_member_is_left(world: mirroring.World, cluster: etcd_cluster.Cluster) -> None:
    """It takes connections and answers nothing: only the deadlines tell."""
    worker = _following(world, cluster, 1.0)
    counters = Counters(world)
    first = cluster.members[0]
    try:
        first.freeze()
        frozen = counters.changes
        polling.until(lambda: counters.changes > frozen + 20, 10)
        counters.stop()
        _settled(world, cluster.urls[1], 15)
        assert worker.follows().owned
    finally:
        first.thaw()
    _settled(world, cluster.urls[0], 10)
    _assert_no_regress(world, cluster.urls[1])


def test_a_cluster_without_a_quorum_takes_nothing_and_says_so(
    world: mirroring.World, cluster: etcd_cluster.Cluster
) -> None:
    worker = _following(world, cluster, 1.0)
    for member in cluster.members[1:]:
        member.kill()
    world.zk.create(world.path("meanwhile"), b"1")
    report = worker.wait(lambda report: report.phase == "error", what="an error")
    assert report.error is not None
    assert "etcd http://" in report.error
    for member in cluster.members[1:]:
        member.launch()
    for member in cluster.members[1:]:
        member.wait_ready()
    worker.follows(20)
    _settled(world, cluster.urls[0], 10)


# --- an etcd that refuses ------------------------------------------------------------------------


def test_a_full_etcd_is_said_and_its_release_is_noticed(
    zookeeper: servers.ZooKeeper, small_etcd: servers.Etcd, prefix: str
) -> None:
    with mirroring.World(zookeeper.address, small_etcd.address, prefix) as world:
        world.zk.create(world.root, b"")
        worker = world.worker(state={"lease_ttl": 3.0})
        worker.follows()
        polling.until(world.etcd.is_full, 20)
        world.zk.create(world.path("meanwhile"), b"1")
        report = worker.wait(lambda r: r.error and "space exceeded" in r.error, what="NOSPACE")
        assert report.error is not None
        assert "--quota-backend-bytes" in report.error
        owner = world.owner(worker)
        # Longer than the lease: its renewal is no write, so the shard stays ours.
        until = time.monotonic() + 5
        polling.until(lambda: time.monotonic() > until, 10)
        assert world.owner(worker) == owner is not None
        world.etcd.delete("outside")
        world.etcd.compact(world.etcd.revision())
        etcd_cluster.etcdctl(small_etcd.url, "defrag")
        etcd_cluster.etcdctl(small_etcd.url, "alarm", "disarm")
        worker.follows()
        world.equal()
