"""Strangers in a mirrored range, beside whatever else a shard may be in the middle of: another
change of the same node, a lease, a guard, a pause, a part of a tree only, a member that is away."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence

import etcd3.etcdrpc as rpc
import pytest

from tests import etcd_cluster, polling
from tests.integration import mirroring, observing, strangers
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.drift import watcher

WATCH = {"drift": "watch"}
SECOND = dataclasses.replace(mirroring.FIRST, instance="second")


def grown(world: mirroring.World, count: int, value: bytes = b"v", below: str = "") -> list[str]:
    """The root, with so many nodes below it."""
    base = world.path(below) if below else world.root
    world.zk.ensure_path(base)
    paths = [f"{base}/n{number:05d}" for number in range(count)]
    observing.seed(world.zk, [(path, value) for path in paths])
    return paths


def watched(worker: mirroring.Worker, number: int = 0) -> messages.ShardReport:
    """Once it follows, and is told of strangers."""
    worker.follows(30)
    return worker.wait(
        lambda report: report.drift is not None and report.drift.why is None, number=number
    )


def stays(what: Callable[[], object], seconds: float = 1.0) -> None:
    """It is so for so long."""
    end = time.monotonic() + seconds

    def over() -> bool:
        assert what()
        return time.monotonic() > end

    polling.until(over, seconds + 20)


# --- a real change of the same node --------------------------------------------------------------


@pytest.mark.long
def test_a_change_in_zookeeper_waits_for_no_contested_key(world: mirroring.World) -> None:
    """Nor does a delete of the node; and what they write where there is none is left."""
    key = grown(world, 3)[1]
    worker = world.worker(sync=WATCH)
    watched(worker)
    events = world.etcd.watch(world.etcd.revision() + 1).events

    def seen(value: bytes | None) -> bool:
        return any(each.key == key.encode() and each.value == value for each in list(events))

    with strangers.war(world.etcd, key):
        worker.wait(lambda report: report.drift is not None and report.drift.repaired >= 5, 30)
        for number in range(5):  # The next repair is four seconds away, then eight.
            value, began = b"newer%d" % number, time.monotonic()
            world.zk.set(key, value)
            polling.until(lambda: seen(value), 20)  # noqa: B023
            assert time.monotonic() - began < 2.0
        began = time.monotonic()
        world.zk.delete(key)
        polling.until(lambda: seen(None), 20)
        assert time.monotonic() - began < 2.0
        polling.until(lambda: world.etcd.value(key) == b"theirs", 20)
    stays(lambda: world.etcd.value(key) == b"theirs")
    world.zk.create(key, b"again")
    world.equal(20)


# --- what they write -----------------------------------------------------------------------------


def test_the_same_value_is_no_difference(world: mirroring.World) -> None:
    """It is looked at, and nothing is written, named or counted."""
    key = grown(world, 3)[1]
    worker = world.worker(sync=WATCH)
    watched(worker)
    for _ in range(100):
        world.etcd.put(key, b"v")
    last = world.etcd.get(key)
    assert last is not None
    stays(lambda: world.etcd.get(key) == last, 0.5)
    report = worker.shard()
    assert report is not None
    assert report.drift is not None
    assert (report.drift.repaired, report.drift.contested) == (0, 0)
    world.zk.set(key, b"newer")
    world.equal(20)


def put_on_lease(world: mirroring.World, lease: int, key: str, value: bytes) -> None:
    request = rpc.PutRequest(key=key.encode(), value=value, lease=lease)
    world.etcd._kv.Put(request, timeout=20)


def revoke(world: mirroring.World, lease: int) -> None:
    rpc.LeaseStub(world.etcd._channel).LeaseRevoke(rpc.LeaseRevokeRequest(ID=lease), timeout=20)


def test_keys_on_a_lease_outlive_it(world: mirroring.World) -> None:
    """One whose value they changed is put without it; one that they put as it was goes with it, and
    is back at once."""
    paths = grown(world, 40)
    worker = world.worker(sync=WATCH)
    watched(worker)
    lease = world.etcd.grant(600)
    for path in paths[:20]:
        put_on_lease(world, lease, path, b"theirs")
    for path in paths[20:30]:
        put_on_lease(world, lease, path, b"v")
    world.equal(20)
    worker.wait(lambda report: report.drift is not None and report.drift.repaired == 20)
    revoke(world, lease)
    world.equal(20)
    worker.wait(lambda report: report.drift is not None and report.drift.repaired == 30)


@pytest.mark.long
@pytest.mark.parametrize("count", [20_000, 20_500])
def test_all_of_a_large_range_deleted_in_one_txn(world: mirroring.World, count: int) -> None:
    """As many as are looked at one by one, and more: then a full sync finds them."""
    grown(world, count)
    worker = world.worker(sync=WATCH)
    watched(worker)
    world.etcd.delete_below(world.root)
    polling.until(lambda: world.etcd.count(world.root) == count, 60, every=0.1)
    world.equal(30)
    watched(worker)


@pytest.mark.parametrize("drift", ["watch", "full_sync"])
def test_what_is_put_right_is_no_more_a_second_than_may_be_written(
    world: mirroring.World, drift: str
) -> None:
    """`max_writes_per_second` spares the cluster, whoever has emptied the range; live changes go
    on meanwhile."""
    grown(world, 400)
    worker = world.worker(sync={"drift": drift}, etcd={"max_writes_per_second": 100})
    report = worker.follows(30)
    if drift == "watch":
        watched(worker)
    assert report.keys == 401
    began = time.monotonic()
    world.etcd.delete_below(world.root)
    if drift == "full_sync":
        worker.full_sync(30)
    world.zk.set(world.root, b"live")
    polling.until(lambda: world.etcd.value(world.root) == b"live", 20)
    world.equal(30)
    # A second's worth may go at once, and one batch before it is known how many it is.
    assert time.monotonic() - began > 1.9


# --- what else a shard may be in the middle of ---------------------------------------------------


def test_what_is_excluded_is_left_to_them(world: mirroring.World) -> None:
    ours, theirs = grown(world, 4, below="in"), grown(world, 4, below="out/x/deep")
    for path in theirs:
        world.etcd.put(path, b"theirs")
    shard = dataclasses.replace(
        mirroring.shard(world.root, world.root, [world.path("out", "*", "deep")]),
    )
    worker = world.worker(shards=[shard], sync=WATCH)
    watched(worker)
    for path in ours:
        world.etcd.put(path, b"tampered")
    for path in theirs[:2]:
        world.etcd.put(path, b"theirs too")
    world.etcd.delete(theirs[3])
    world.etcd.delete(world.path("out", "x"))
    polling.until(lambda: all(world.etcd.value(path) == b"v" for path in ours), 20)
    polling.until(lambda: world.etcd.value(world.path("out", "x")) == b"", 20)
    found = [world.etcd.value(path) for path in theirs]
    assert found == [b"theirs too", b"theirs too", b"theirs", None]


def test_only_what_matches_is_put_right(world: mirroring.World) -> None:
    ours, theirs = grown(world, 4, below="a/in"), grown(world, 4, below="a/out")
    shard = dataclasses.replace(
        mirroring.shard(world.root, world.root), only=(world.path("*", "in"),)
    )
    worker = world.worker(shards=[shard], sync=WATCH)
    watched(worker)
    for path in (*ours, *theirs):
        world.etcd.put(path, b"tampered")
    polling.until(lambda: all(world.etcd.value(path) == b"v" for path in ours), 20)
    stays(lambda: all(world.etcd.value(path) == b"tampered" for path in theirs), 0.5)


def test_where_nothing_is_deleted_what_they_do_to_nodes_is_put_right(
    world: mirroring.World,
) -> None:
    paths = grown(world, 6)
    worker = world.worker(sync={**WATCH, "deletes": "never"})
    watched(worker)
    world.zk.delete(paths[0])
    world.zk.set(paths[1], b"later")
    polling.until(lambda: world.etcd.value(paths[1]) == b"later", 20)
    world.etcd.put(paths[0], b"theirs")
    world.etcd.delete(paths[2])
    world.etcd.put(paths[3], b"theirs")
    wanted = {**world.wanted(), paths[0].encode(): b"theirs"}
    polling.until(lambda: world.etcd.values(world.root) == wanted, 20)


def test_while_a_trip_stands_the_rest_is_put_right(world: mirroring.World) -> None:
    """What is held is nobody's to put right: ZooKeeper has it not."""
    paths = grown(world, 30)
    settings = {"delete_guard": {"min_deletes": 5, "max_ratio": 0.3}}
    first = world.worker(sync={**WATCH, **settings})
    watched(first)
    first.drain()
    for path in paths[:20]:
        world.zk.delete(path)
    worker = world.worker(sync={**WATCH, **settings}, identity=SECOND)
    trip = worker.trip()
    watched(worker)
    world.etcd.delete(paths[0])
    world.etcd.put(paths[1], b"theirs")
    world.etcd.delete(paths[20])
    world.etcd.put(paths[21], b"theirs")
    polling.until(lambda: [world.etcd.value(path) for path in paths[20:22]] == [b"v", b"v"], 20)
    assert [world.etcd.value(path) for path in paths[:3]] == [None, b"theirs", b"v"]
    assert worker.trip().deletes == trip.deletes == 20
    worker.release(trip.id)
    world.equal(30)
    watched(worker)


def test_nothing_is_put_right_while_it_is_paused(world: mirroring.World) -> None:
    paths = grown(world, 6)
    worker = world.worker(sync=WATCH)
    watched(worker)
    worker.pause()
    report = worker.wait(lambda report: report.phase == "paused")
    polling.until(lambda: (found := worker.shard()) is not None and found.drift is None, 10)
    assert report.guard is None
    world.etcd.put(paths[0], b"theirs")
    world.etcd.delete(paths[1])
    stays(lambda: [world.etcd.value(path) for path in paths[:2]] == [b"theirs", None])
    worker.resume()
    world.equal(20)
    watched(worker)
    world.etcd.put(paths[0], b"theirs")
    world.equal(20)


def test_ranges_within_each_other(world: mirroring.World, strange: list[bytes]) -> None:
    """By marks, one shard's range may lie in another's: each puts its own right, and looks at none
    of the other's once its base has learned what is its own."""
    outer, inner = world.path("outer"), world.path("inner")
    to = world.path("to")
    grown(world, 10, b"o", below="outer")
    grown(world, 10, b"i", below="inner")
    shards = [
        dataclasses.replace(mirroring.shard(outer, to), ownership="marks"),
        dataclasses.replace(mirroring.shard(inner, f"{to}/within"), ownership="marks"),
    ]
    worker = world.worker(shards=shards, sync=WATCH)
    watched(worker, 0)
    watched(worker, 1)
    strange.clear()
    wanted = world.etcd.values(to)
    assert len(wanted) == 22
    for number in range(5):
        world.zk.set(f"{outer}/n{number:05d}", b"o")
        world.zk.set(f"{inner}/n{number:05d}", b"i")
    hurt = [f"{to}/n00001", f"{to}/n00002", f"{to}/within/n00001", f"{to}/within/n00002"]
    for key in hurt[::2]:
        world.etcd.put(key, b"theirs")
    for key in hurt[1::2]:
        world.etcd.delete(key)
    polling.until(lambda: world.etcd.values(to) == wanted, 20)
    looked = {f"{outer}/n00001", f"{outer}/n00002", f"{inner}/n00001", f"{inner}/n00002"}
    assert set(strange) == {path.encode() for path in looked}


@pytest.mark.long
def test_shards_are_compared_one_after_another_without_a_rest(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stream that was theirs together: a thousand of them wait for the last one."""
    monkeypatch.setattr(watcher, "_TURN", 3.0)
    names = [f"s{number}" for number in range(6)]
    paths = [grown(world, 3, below=name)[1] for name in names]
    worker = world.worker(
        targets={world.path(name): world.path(name) for name in names}, sync=WATCH
    )
    for number in range(len(names)):
        watched(worker, number)
    sides = worker._worker._sides
    assert sides is not None
    stream = sides.strangers._stream
    assert stream is not None
    stream._call.cancel()
    polling.until(lambda: stream.end, 20)
    for path in paths:
        world.etcd.put(path, b"theirs")
    began = time.monotonic()
    polling.until(lambda: all(world.etcd.value(path) == b"v" for path in paths), 45)
    # One turn until there is another stream; it was one for each shard, too.
    assert time.monotonic() - began < 12.0


# --- a member that is away -----------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("how", ["killed", "frozen"])
def test_strangers_at_another_member(
    zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, prefix: str, how: str
) -> None:
    """The one over which they were heard is gone: another one tells, from then on."""
    cluster = etcd_cluster.Cluster(sandbox)
    away, *others = _followers_first(cluster)
    with mirroring.World(zookeeper.address, others[-1].address, prefix) as world:
        paths = grown(world, 50)
        urls = [member.url for member in (away, *others)]
        worker = world.worker(sync=WATCH, etcd={"endpoints": urls, "request_timeout": 2.0})
        watched(worker)
        away.kill() if how == "killed" else away.freeze()
        for number, path in enumerate(paths[:20]):
            world.etcd.put(path, b"theirs") if number % 2 else world.etcd.delete(path)
        world.equal(30)
        watched(worker)
        for path in paths[20:40]:
            world.etcd.put(path, b"theirs")
        world.equal(20)
        if how == "frozen":
            away.thaw()


def _followers_first(cluster: etcd_cluster.Cluster) -> Sequence[etcd_cluster.Member]:
    leader = cluster.leader()
    return [*(member for member in cluster.members if member is not leader), leader]
