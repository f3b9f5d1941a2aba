"""What breaks under a mirror: servers that restart, freeze and are wiped, values that do not fit,
owners that come and go, somebody who writes into etcd by hand."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent import futures

import kazoo.client
import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages, metrics
from zk2etcd.config import models
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine_etcd
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.shard import dirty_paths

QUICK = {"session_timeout": 2.0, "connect_timeout": 2.0, "request_timeout": 2.0}
OTHER = messages.Identity("other", "w0", 1)


def _grow(world: mirroring.World, name: str, count: int = 200) -> None:
    observing.seed(world.zk, ((world.path(f"{name}{n:05d}"), b"v") for n in range(count)))


class Churn(observing.Meanwhile):
    """Somebody who changes the tree all the time, until told to stop."""

    def __init__(self, world: mirroring.World, names: int = 30) -> None:
        self._world, self._names = world, names
        super().__init__(world.zookeeper, self._churn)

    def _churn(self, client: kazoo.client.KazooClient, number: int) -> None:
        path = self._world.path(f"churn{number % self._names}")
        if not client.exists(path):
            client.create(path, b"%d" % number)
        elif number % 7 == 0:
            client.delete(path)
        else:
            client.set(path, b"%d" % number)


# --- repairs -------------------------------------------------------------------------------------


def test_a_full_sync_repairs_what_was_tampered_with_and_counts_it(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _grow(world, "n", 300)
    worker = world.worker()
    worker.follows()
    before = world.etcd.below(world.root)
    world.etcd.put(world.path("n00007"), b"tampered")
    world.etcd.delete(world.path("n00008"))
    world.etcd.put(world.path("ghost"), b"")
    world.etcd.put(world.path("n00009", "ghost"), b"")
    report = worker.full_sync()
    assert report.last_full_sync is not None
    assert (report.last_full_sync.put, report.last_full_sync.delete) == (2, 2)
    assert worker.counts.fixes == {"put": 2, "delete": 2}
    assert report.guard is None
    after = world.etcd.below(world.root)
    assert world.wanted() == {key: kv.value for key, kv in after.items()}
    touched = {world.path(name).encode() for name in ("n00007", "n00008")}
    assert {key for key in before if after[key] != before[key]} == touched
    second = worker.full_sync().last_full_sync
    assert second is not None
    assert (second.put, second.delete) == (0, 0)


def test_a_full_sync_during_churn_finds_nothing_to_repair(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _grow(world, "n", 500)
    worker = world.worker()
    worker.follows()
    churn = Churn(world, 15)
    try:
        for _ in range(25):
            worker.full_sync()
    finally:
        churn.stop()
    assert churn.changes > 200
    world.equal()
    assert worker.counts.fixes == {"put": 0, "delete": 0}
    report = worker.follows()
    assert report.guard is None
    assert report.last_full_sync is not None
    assert report.last_full_sync.sequence == 26, "the shard started over"


# A full sync looks twice, a second apart: on cores that others use, live deletes may take longer.
@pytest.mark.alone
def test_a_root_that_comes_and_goes_during_full_syncs_is_no_guard_case(
    world: mirroring.World,
) -> None:
    """A live delete that etcd has not seen yet looks like a missing root for a moment."""
    worker = world.worker()
    worker.follows()
    children = [(world.path(f"{number}"), b"") for number in range(12)]

    def come_and_go(client: kazoo.client.KazooClient, _: int) -> None:
        observing.seed(client, [(world.root, b""), *children])
        client.delete(world.root, recursive=True)

    with observing.Meanwhile(world.zookeeper, come_and_go):
        for _ in range(40):
            assert worker.full_sync().guard is None
    world.equal()
    assert worker.counts.trips == 0
    assert worker.counts.fixes == {"put": 0, "delete": 0}


def test_a_mass_delete_that_was_seen_is_no_guard_case(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dirty_paths, "MOST", 50)
    world.zk.create(world.root, b"")
    _grow(world, "n", 1000)
    worker = world.worker(sync={"delete_guard": {"max_deletes": 100}})
    worker.follows()
    transaction = world.zk.transaction()
    for number in range(900):
        transaction.delete(world.path(f"n{number:05d}"))
    transaction.commit()
    world.equal()
    worker.wait(lambda report: report.phase == "following", what="following")
    result = worker.shard()
    assert result is not None
    assert result.guard is None
    assert result.last_full_sync is not None
    assert result.last_full_sync.sequence > 1, "nothing overflowed: the test shows nothing"


# --- sizes and rates -----------------------------------------------------------------------------


def test_a_value_too_large_for_etcd_is_named_and_the_rest_goes_on(
    fresh_zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox
) -> None:
    small = sandbox.etcd(arguments=["--max-request-bytes", "20000"])
    small.start()
    with mirroring.World(fresh_zookeeper.address, small.address, "/own") as world:
        world.zk.create(world.root, b"")
        _grow(world, "n", 50)
        world.zk.create(world.path("large"), b"x" * 30_000)
        world.zk.create(world.path("larger"), b"x" * 900_000)
        worker = world.worker()
        report = worker.follows()
        large, larger = world.path("large"), world.path("larger")
        assert {each.path for each in report.unsyncable} == {large, larger}
        assert report.unsyncable_total == 2
        world.zk.set(world.path("n00001"), b"y" * 40_000)
        world.zk.set(world.path("n00002"), b"live")
        polling.until(lambda: world.etcd.value(world.path("n00002")) == b"live")
        worker.wait(lambda report: report.unsyncable_total == 3)
        assert world.etcd.value(world.path("n00001")) == b"v"
        worker.full_sync()
        for path in (large, world.path("n00001")):
            world.zk.set(path, b"small")
        world.zk.delete(larger)
        world.equal()
        assert worker.wait(lambda report: report.unsyncable_total == 0).error is None
        assert worker.counts.fixes == {"put": 0, "delete": 0}


@pytest.mark.parametrize("most", [16, 64])
def test_an_etcd_that_allows_few_operations(
    fresh_zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, most: int
) -> None:
    small = sandbox.etcd(arguments=["--max-txn-ops", str(most)])
    small.start()
    with mirroring.World(fresh_zookeeper.address, small.address, "/own") as world:
        world.zk.create(world.root, b"")
        _grow(world, "n", 500)
        worker = world.worker()
        worker.follows()
        world.equal()
        _grow(world, "live", 300)
        world.zk.delete(world.path("n00001"))
        world.equal()
        owner = world.owner(worker)
        for number in range(120):
            world.etcd.put(world.path(f"n{number:05d}"), b"tampered")
            world.etcd.put(world.path(f"ghost{number:05d}"), b"")
        report = worker.full_sync()
        assert report.error is None
        world.equal()
        assert world.owner(worker) == owner, "the full sync ended in a start over"
        assert world.etcd.get(world.path("n00001")) is None
        assert worker.counts.fixes == {"put": 119, "delete": 121}


def test_the_write_rate_holds(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _grow(world, "n", 300)
    watch = world.etcd.watch(world.etcd.revision() + 1)
    start = time.monotonic()
    worker = world.worker(etcd={"max_writes_per_second": 150})
    worker.follows()
    world.equal()
    took = time.monotonic() - start
    assert 0.8 <= took < 15
    assert len([event for event in watch.events if event.key.startswith(b"/")]) == 301


def test_the_rate_of_etcds_keys_holds_for_walks_and_live_changes_do_not_wait(
    world: mirroring.World,
) -> None:
    world.zk.create(world.root, b"")
    _grow(world, "n", 300)
    world.worker().follows()
    world.equal()
    world.workers[-1].drain()
    start = time.monotonic()
    worker = world.worker(etcd={"max_reads_per_second": 100})
    worker.follows()
    assert 1.5 <= time.monotonic() - start < 20
    with futures.ThreadPoolExecutor() as pool:
        full_sync = pool.submit(worker.full_sync)
        world.zk.set(world.path("n00000"), b"live")
        polling.until(lambda: world.etcd.value(world.path("n00000")) == b"live", 5)
        assert not full_sync.done(), "the full sync was over: this shows nothing"
        last = full_sync.result().last_full_sync
    assert last is not None
    assert last.took_seconds >= 1.5


def test_the_read_rate_holds_and_is_used_up(world: mirroring.World) -> None:
    names = [f"d{depth}" for depth in range(50)]
    world.zk.create(world.path(*names), b"", makepath=True)
    _grow(world, "n", 250)
    start = time.monotonic()
    worker = world.worker(zookeeper={"max_reads_per_second": 150})
    worker.follows()
    took = time.monotonic() - start
    assert 0.8 <= took < 15
    world.equal()


@pytest.mark.parametrize("count", [40_000, pytest.param(200_000, marks=pytest.mark.long)])
def test_many_children_of_one_node(
    fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd, count: int
) -> None:
    with mirroring.World(fresh_zookeeper.address, fresh_etcd.address, "/own") as world:
        world.zk.create(world.root, b"")
        items = ((world.path(f"n{number:06d}"), b"%d" % number) for number in range(count))
        observing.seed(world.zk, items, batch=2000)
        worker = world.worker()
        worker.follows(60)
        found = world.etcd.below(world.root)
        assert len(found) == count + 1
        assert all(
            found[world.path(f"n{number:06d}").encode()].value == b"%d" % number
            for number in range(0, count, 101)
        )
        for number in (0, count // 2 - 1, count - 1):
            world.zk.set(world.path(f"n{number:06d}"), b"live")
        gone, last = (world.path(f"n{number:06d}") for number in (count // 2, count - 1))
        world.zk.delete(gone)
        polling.until(lambda: world.etcd.value(last) == b"live", 5)
        polling.until(lambda: world.etcd.get(gone) is None, 5)
        result = worker.full_sync(60).last_full_sync
        assert result is not None
        assert (result.put, result.delete) == (0, 0)


# --- owners --------------------------------------------------------------------------------------


def test_another_supervisor_waits_and_takes_over(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    first = world.worker()
    first.follows()
    second = world.worker(identity=OTHER)
    report = second.wait(lambda report: report.holder, what="waiting")
    assert report.phase == "waiting"
    assert report.holder == "inst/w0.1"
    assert not report.owned
    revision = world.etcd.revision()
    world.zk.create(world.path("a"), b"1")
    world.equal()
    assert world.etcd.revision() <= revision + 2, "both wrote"
    first.drain()
    assert second.follows(5).owned
    world.zk.create(world.path("b"), b"1")
    world.equal()


def test_an_owner_of_an_intersecting_range_is_waited_for(world: mirroring.World) -> None:
    world.zk.create(world.path("below"), b"1", makepath=True)
    first = world.worker()
    first.follows()
    below = world.path("below")
    second = world.worker(targets={below: below}, identity=OTHER)
    second.wait(lambda report: report.holder, what="waiting")
    near = world.worker(targets={world.path("b"): world.root + "b"}, identity=OTHER)
    assert near.follows().owned
    first.drain()
    assert second.follows(5).owned


def _abandoned(world: mirroring.World, incarnation: int) -> None:
    """An owner key as a worker leaves it that was killed: alive until its lease ends."""
    settings = world.config(etcd={}, state={"lease_ttl": 60.0})
    client = engine_etcd.Client(settings.etcd, metrics.null())
    lease = leases.Lease(client, 60.0)
    identity = messages.Identity("inst", "w0", incarnation)
    shard = mirroring.shard(world.root, world.root)
    fence.Fence(client, records.Keys(world.state), lease, identity, shard).claim({})
    _stop_renewing(lease, 15)
    client.close()


@contextlib.contextmanager
def _unrenewed(world: mirroring.World) -> Iterator[tuple[engine_etcd.Client, leases.Lease, int]]:
    """A client, its lease whose renewing thread has ended, and the lease's id."""
    client = engine_etcd.Client(world.config().etcd, metrics.null())
    lease = leases.Lease(client, 3.0)
    first = lease.obtain()
    _stop_renewing(lease, 5)
    yield client, lease, first
    lease.close()
    client.close()


def _stop_renewing(lease: leases.Lease, timeout: float) -> None:
    lease._stop.set()
    assert lease._thread is not None
    lease._thread.join(timeout)


def test_a_lease_that_grew_old_is_renewed_before_the_shard_is_taken(
    world: mirroring.World,
) -> None:
    """When etcd was away, recovery must not wait for the renewing thread's next turn."""
    with _unrenewed(world) as (_, lease, first):
        polling.until(lambda: lease.age() > lease.ttl * leases.WRITABLE)
        assert lease.obtain() == first
        lease.check()


def test_a_lease_that_ended_unnoticed_is_replaced_before_the_shard_is_taken(
    world: mirroring.World,
) -> None:
    """An owner key without a lease would outlive its owner, and nobody could take the shard."""
    with _unrenewed(world) as (client, lease, first):
        client.revoke(first)
        polling.until(lambda: lease.age() > lease.ttl * leases.WRITABLE)
        assert lease.obtain() not in (0, first)
        lease.check()


def test_the_shard_of_a_reaped_predecessor_is_taken_at_once(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _abandoned(world, 1)
    successor = messages.Identity("inst", "w3", 1)
    waiting = world.worker(identity=successor)
    report = waiting.wait(lambda report: report.holder, what="waiting")
    assert report.holder == "inst/w0.1"
    start = time.monotonic()
    waiting.assign({"w0": 1})
    assert waiting.follows().owned
    assert time.monotonic() - start < 20, "its lease has a minute"
    world.equal()


def test_a_predecessor_that_was_not_reaped_is_not_robbed(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    _abandoned(world, 3)
    worker = world.worker(identity=messages.Identity("inst", "w0", 4), reaped={"w0": 2, "w1": 9})
    worker.wait(lambda report: report.holder, what="waiting")
    stranger = world.worker(identity=OTHER, reaped={"w0": 9})
    stranger.wait(lambda report: report.holder, what="waiting")
    assert not world.etcd.get(world.root)


def test_a_stolen_owner_key_stops_the_writes(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    worker = world.worker()
    worker.follows()
    owner = world.owner(worker)
    assert owner is not None
    stolen = owner.value.replace(b'"inst"', b'"thief"')
    world.etcd.put(f"{world.state}/owners/{worker.shards[0].id}", stolen)
    world.zk.create(world.path("after"), b"1")
    worker.wait(lambda report: report.phase == "waiting" and not report.owned, what="waiting")
    assert world.etcd.get(world.path("after")) is None
    world.etcd.delete(f"{world.state}/owners/{worker.shards[0].id}")
    worker.follows()
    world.equal()


def test_a_deleted_checkpoint_is_noticed(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    worker = world.worker()
    worker.follows()
    world.etcd.delete(f"{world.state}/checkpoints/{worker.shards[0].id}")
    world.zk.create(world.path("after"), b"1")
    world.equal()
    worker.follows()
    polling.until(lambda: world.checkpoint(worker) >= world.zk.get(world.path("after"))[1].mzxid)


def test_many_shards_start_together(world: mirroring.World) -> None:
    targets = {world.path(f"s{number:02d}"): world.path(f"s{number:02d}") for number in range(24)}
    for path in targets:
        world.zk.create(path + "/a", b"1", makepath=True)
    worker = world.worker(targets=targets)
    worker.follows(8)
    for path in targets:
        world.zk.create(path + "/live", b"1")
    world.zk.delete(world.root + "/s07", recursive=True)
    polling.until(lambda: len(world.etcd.below(world.root)) == 23 * 3, 5)
    assert not [
        report.shards[0].error
        for report in worker.reports
        if report.shards and report.shards[0].error
    ]


def test_shards_come_and_go(world: mirroring.World) -> None:
    one, two = (mirroring.shard(world.path(name), world.path(name)) for name in ("one", "two"))
    for shard in (one, two):
        world.zk.create(shard.source, b"1", makepath=True)
    worker = world.worker(targets={one.source: one.target})
    worker.follows()
    worker.assign({}, [one, two])
    worker.follows()
    worker.assign({}, [two])
    worker.wait(lambda _: worker.reports[-1].held == (two.id,), what="let go")
    assert world.etcd.get(f"{world.state}/owners/{one.id}") is None
    world.zk.set(one.source, b"2")
    world.zk.set(two.source, b"2")
    polling.until(lambda: world.etcd.value(two.target) == b"2")
    assert world.etcd.value(one.target) == b"1", "a removed shard still wrote"
    worker.assign({}, [one, two])
    worker.follows()
    polling.until(lambda: world.etcd.value(one.target) == b"2")


# --- servers that break --------------------------------------------------------------------------


def _restarted_zookeeper(zookeeper: servers.ZooKeeper, _: servers.Etcd) -> Callable[[], None]:
    zookeeper.stop()
    return zookeeper.start


def _killed_zookeeper(zookeeper: servers.ZooKeeper, _: servers.Etcd) -> Callable[[], None]:
    zookeeper.kill()
    return zookeeper.start


def _restarted_etcd(_: servers.ZooKeeper, etcd: servers.Etcd) -> Callable[[], None]:
    etcd.stop()
    return etcd.start


def _killed_etcd(_: servers.ZooKeeper, etcd: servers.Etcd) -> Callable[[], None]:
    etcd.kill()
    return etcd.start


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(_restarted_zookeeper, marks=pytest.mark.long),
        _killed_zookeeper,
        pytest.param(_restarted_etcd, marks=pytest.mark.long),
        _killed_etcd,
    ],
    ids=lambda fault: fault.__name__.strip("_"),
)
def test_a_server_that_comes_back(
    sandbox: servers.Sandbox,
    fault: Callable[[servers.ZooKeeper, servers.Etcd], Callable[[], None]],
) -> None:
    zookeeper, etcd = sandbox.zookeeper(), sandbox.etcd()
    zookeeper.start()
    etcd.start()
    with mirroring.World(zookeeper.address, etcd.address, "/own") as world:
        world.zk.create(world.root, b"")
        _grow(world, "n", 300)
        worker = world.worker(zookeeper=QUICK, etcd={"request_timeout": 1.0})
        worker.follows()
        back = fault(zookeeper, etcd)
        if etcd.alive:
            back()
            polling.until(lambda: world.zk.connected, 20)
        world.zk.retry(world.zk.set, world.path("n00001"), b"meanwhile")
        world.zk.retry(world.zk.delete, world.path("n00002"))
        if not etcd.alive:
            worker.wait(lambda report: report.error is not None, 10, what="an error is shown")
            back()
        world.equal(10)
        worker.follows(10)
        world.zk.create(world.path("after"), b"1")
        world.equal(5)
        assert worker.full_sync().guard is None


def test_a_frozen_zookeeper_thaws(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    _grow(world, "n", 100)
    worker = world.worker(zookeeper=QUICK)
    worker.follows()
    fresh_zookeeper.freeze()
    try:
        worker.wait(lambda report: report.phase == "error", 12, what="an error is shown")
    finally:
        fresh_zookeeper.thaw()
    polling.until(lambda: world.zk.connected, 20)
    world.zk.retry(world.zk.set, world.path("n00001"), b"after")
    world.equal(12)
    assert worker.follows().guard is None


def test_a_frozen_etcd_thaws(fresh_world: mirroring.World, fresh_etcd: servers.Etcd) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    _grow(world, "n", 100)
    worker = world.worker(etcd={"request_timeout": 1.0}, state={"lease_ttl": 3.0})
    worker.follows()
    fresh_etcd.freeze()
    try:
        for number in range(100):
            world.zk.set(world.path(f"n{number:05d}"), b"meanwhile")
        worker.wait(lambda report: report.error is not None, 12, what="an error is shown")
        for number in range(100):
            world.zk.set(world.path(f"n{number:05d}"), b"newest")
    finally:
        fresh_etcd.thaw()
    world.equal(12)
    worker.follows()


def test_a_connection_lost_while_a_base_still_writes(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    """The watch died with the connection, after the walk and before anybody follows."""
    world = fresh_world
    world.zk.create(world.root, b"")
    _grow(world, "n", 400)
    worker = world.worker(zookeeper=QUICK, etcd={"max_writes_per_second": 100})
    polling.until(lambda: len(world.etcd.below(world.root)) > 50)
    fresh_zookeeper.restart()
    worker.follows()
    polling.until(lambda: world.zk.connected, 20)
    world.zk.create(world.path("after"), b"1")
    world.equal(8)


def test_nothing_is_deleted_when_zookeeper_was_wiped(
    fresh_world: mirroring.World, fresh_zookeeper: servers.ZooKeeper
) -> None:
    world = fresh_world
    world.zk.create(world.root, b"")
    _grow(world, "n", 50)
    worker = world.worker(zookeeper=QUICK)
    worker.follows()
    before = world.etcd.below(world.root)
    fresh_zookeeper.stop()
    fresh_zookeeper.wipe()
    fresh_zookeeper.start()
    worker.wait(lambda report: report.phase == "error", 12, what="an error is shown")
    worker.drain()
    again = world.worker(zookeeper=QUICK)
    report = again.wait(lambda report: report.error is not None, 12, what="an error is shown")
    assert report.error is not None
    assert "zxid" in report.error or "session" in report.error
    assert world.etcd.below(world.root) == before


def test_servers_that_are_not_there_yet(sandbox: servers.Sandbox) -> None:
    zookeeper, etcd = sandbox.zookeeper(), sandbox.etcd()
    zookeeper.start()
    with mirroring.World(zookeeper.address, etcd.address, "/own") as world:
        world.zk.create(world.root, b"1")
        worker = world.worker(zookeeper=QUICK, etcd={"request_timeout": 1.0})
        report = worker.wait(lambda report: report.phase == "error", what="an error")
        assert report.error is not None
        assert etcd.address in report.error
        etcd.start()
        worker.follows(10)
        world.equal()


def test_wrong_settings_are_said_and_not_fatal(world: mirroring.World) -> None:
    nowhere = models.Config.model_validate(
        {"sync": {"prefixes": ["/x"]}, "zookeeper": {"hosts": ["127.0.0.1:1"], **QUICK}}
    )
    worker = world.worker(zookeeper={"hosts": list(nowhere.zookeeper.hosts), **QUICK})
    report = worker.wait(lambda report: report.phase == "error", what="an error")
    assert report.error is not None
    assert "127.0.0.1:1" in report.error


def test_a_newer_format_is_respected(world: mirroring.World) -> None:
    world.etcd.put(f"{world.state}/format", b'{"v":2,"min_reader":3,"written_by":"zk2etcd 9"}')
    world.zk.create(world.root, b"")
    worker = world.worker()
    report = worker.wait(lambda report: report.phase == "error", what="an error")
    assert report.error is not None
    assert "upgrade zk2etcd" in report.error
    assert not report.owned
    assert world.etcd.get(world.root) is None
