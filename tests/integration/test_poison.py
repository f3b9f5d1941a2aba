"""Nodes that cannot be mirrored, or that come in floods: they are named and counted, and nothing
else waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterator

import kazoo.security
import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd.sandbox import servers
from zk2etcd_workers.shard import dirty_paths, unsyncable

MIB = 1024 * 1024
ROOMY = (*servers.QUICK_JVM, "-Xmx1g", f"-Djute.maxbuffer={5 * MIB}")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that the log named, one entry for each line."""
    named: list[bytes] = []
    decide = unsyncable.Unsyncable._is_unsaid

    def noted(self: unsyncable.Unsyncable, path: bytes, reason: str, now: float) -> bool:
        unsaid = decide(self, path, reason, now)
        if unsaid:
            named.append(path)
        return unsaid

    monkeypatch.setattr(unsyncable.Unsyncable, "_is_unsaid", noted)
    return named


@pytest.fixture
def roomy(sandbox: servers.Sandbox, fresh_etcd: servers.Etcd) -> Iterator[mirroring.World]:
    """A ZooKeeper that takes larger values than etcd does by default."""
    server = sandbox.zookeeper(durable=False, jvm=ROOMY)
    server.start()
    with mirroring.World(server.address, fresh_etcd.address, "/own") as world:
        yield world


def test_values_larger_than_etcd_takes_by_default(
    roomy: mirroring.World, said: list[bytes]
) -> None:
    """Just above its limit of 1.5 MiB, which etcd refuses, and far above, which grpc does."""
    world = roomy
    world.zk.create(world.root, b"")
    sizes = {"above": 1536 * 1024, "far": 4 * MIB}
    for name, size in sizes.items():
        world.zk.create(world.path(name), b"x" * size)
    observing.seed(world.zk, ((world.path(f"n{number:03d}"), b"v") for number in range(300)))
    worker = world.worker()
    report = worker.follows(30)
    large = {world.path(name) for name in sizes}
    assert {each.path for each in report.unsyncable} == large
    assert all("--max-request-bytes" in each.reason for each in report.unsyncable)
    assert len(world.etcd.below(world.root)) == 301
    world.zk.create(world.path("live"), b"y" * 2 * MIB)
    world.zk.create(world.path("after"), b"1")
    polling.until(lambda: world.etcd.value(world.path("after")) == b"1")
    worker.wait(lambda report: report.unsyncable_total == 3)
    assert worker.full_sync().unsyncable_total == 3
    assert worker.full_sync().unsyncable_total == 3
    assert sorted(said) == sorted(path.encode() for path in {*large, world.path("live")})
    for name in ("above", "live"):
        world.zk.set(world.path(name), b"small")
    world.zk.delete(world.path("far"))
    world.equal()
    worker.wait(lambda report: report.unsyncable_total == 0)


def test_more_unreadable_nodes_than_are_named(world: mirroring.World) -> None:
    nobody = [kazoo.security.make_acl("digest", "nobody:x", all=True)]
    world.zk.create(world.root, b"")
    count = 1500
    for start in range(0, count, 500):
        transaction = world.zk.transaction()
        for number in range(start, start + 500):
            transaction.create(world.path(f"secret{number:05d}"), b"s", acl=nobody)
        transaction.commit()
    world.zk.create(world.path("open"), b"1")
    worker = world.worker()
    report = worker.follows()
    assert report.unsyncable_total == count
    assert worker.full_sync().unsyncable_total == count
    assert set(world.etcd.below(world.root)) == {
        world.root.encode(),
        world.path("open").encode(),
    }
    transaction = world.zk.transaction()
    for number in range(600):
        transaction.delete(world.path(f"secret{number:05d}"))
    transaction.commit()
    assert worker.full_sync().unsyncable_total == count - 600


@pytest.mark.long
def test_a_burst_larger_than_the_queue(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dirty_paths, "MOST", 2_000)
    world.zk.create(world.root, b"")
    names = [world.path(f"n{number:05d}") for number in range(10_000)]
    worker = world.worker()
    worker.follows()
    observing.seed(world.zk, ((name, b"0") for name in names), batch=1000)
    for value in (b"1", b"2"):
        pending = []
        for start in range(0, len(names), 1000):
            transaction = world.zk.transaction()
            for name in names[start : start + 1000]:
                transaction.set_data(name, value)
            pending.append(transaction.commit_async())
        for each in pending:
            each.get(timeout=30)
    found = world.equal(20)
    assert set(found.values()) == {b"", b"2"}
    report = worker.follows()
    assert report.last_full_sync is not None
    assert report.last_full_sync.sequence > 1, "nothing overflowed: the test shows nothing"
    assert report.guard is None
    assert worker.counts.trips == 0


def _arrived(world: mirroring.World, path: str) -> None:
    polling.until(lambda: world.etcd.value(path) == b"1", 5)


def test_a_node_that_flips_forever_holds_nothing_up(
    fresh_zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, said: list[bytes]
) -> None:
    small = sandbox.etcd(durable=False, arguments=["--max-request-bytes", "20000"])
    small.start()
    with mirroring.World(fresh_zookeeper.address, small.address, "/own") as world:
        world.zk.create(world.root, b"")
        flipping = world.path("flipping")
        world.zk.create(flipping, b"")
        worker = world.worker()
        worker.follows()

        def flip(client: kazoo.client.KazooClient, number: int) -> None:
            client.set(flipping, b"%d" % number if number % 2 else b"x" * 50_000)

        with observing.Meanwhile(world.zookeeper, flip) as flips:
            for number in range(50):
                started = time.monotonic()
                world.zk.create(world.path(f"n{number}"), b"1")
                _arrived(world, world.path(f"n{number}"))
                assert time.monotonic() - started < 8
        world.zk.set(flipping, b"end")
        assert flips.changes > 100
        world.equal()
        worker.wait(lambda report: report.unsyncable_total == 0)
        assert said == [flipping.encode()]
        report = worker.shard()
        assert report is not None
        assert report.last_full_sync is not None
        assert report.last_full_sync.sequence == 1, "the shard started over"
