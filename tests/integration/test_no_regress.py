"""No key ever goes back: writes whose answer was lost and that land late, floors and checkpoints.

A late write is made for certain here, not hoped for: a proxy of etcd holds it, the client gives up
and goes on by another, and only then the first one delivers what it holds.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests import polling, proxy
from tests.integration import mirroring, observing
from zk2etcd import messages, metrics
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.model import plan
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.shard import apply

SUCCESSOR = messages.Identity("inst", "w0", 2)
OTHER = messages.Identity("other", "w0", 1)
QUICK = {"request_timeout": 1.0}
_SOON = 0.7
"""Seconds after which a write has left the client, and the client has not given it up yet."""


class Held(NamedTuple):
    """Two ways to the same etcd, and the moment at which the first was held."""

    first: proxy.Proxy
    second: proxy.Proxy

    def endpoints(self) -> dict[str, Any]:
        return {"endpoints": [f"http://{each.address}" for each in self], **QUICK}


@pytest.fixture
def ways(world: mirroring.World) -> Iterator[Held]:
    with proxy.Proxy(world.etcd_address) as first, proxy.Proxy(world.etcd_address) as second:
        yield Held(first, second)


def _history(world: mirroring.World, watch: observing.Watch) -> dict[bytes, list[bytes]]:
    """What every key went through, up to now."""
    world.etcd.put(world.state + "/end", b"%d" % time.monotonic_ns())
    end = world.etcd.revision()
    polling.until(lambda: watch.events and watch.events[-1].revision >= end, what="the whole watch")
    seen: dict[bytes, list[bytes]] = defaultdict(list)
    for event in watch.events:
        seen[event.key].append(event.value or b"")
    return seen


def _only_rose(values: list[bytes]) -> bool:
    return len(values) > 1 and values == sorted(values)


def _checkpoint(world: mirroring.World, worker: mirroring.Worker) -> bytes:
    return f"{world.state}/checkpoints/{worker.shards[0].id}".encode()


def _deliver(line: proxy.Proxy, until: float) -> None:
    """Let go what the client had sent by then, and all answers; it is not heard any more."""
    line.release("up", until)
    line.release("down")


def _as_used(world: mirroring.World, ways: Held) -> Held:
    """The way that the worker goes comes first: it may have left the other at its start."""
    before = [way.returned for way in ways]
    world.zk.set(world.root, b"00")
    world.equal()
    first, second = (way.returned - was for way, was in zip(ways, before, strict=True))
    return ways if first >= second else Held(ways.second, ways.first)


def _answered(line: proxy.Proxy, before: int) -> None:
    polling.until(lambda: line.returned > before, what="etcd answered the late write")


def test_a_write_that_lands_late_does_not_undo_a_newer_one(
    world: mirroring.World, ways: Held
) -> None:
    world.zk.create(world.root, b"0")
    worker = world.worker(etcd=ways.endpoints())
    worker.follows()
    ways = _as_used(world, ways)
    token = world.owner(worker)
    watch = world.etcd.watch(world.etcd.revision() + 1)
    ways.first.hold("both")
    held, answered = time.monotonic(), ways.first.returned
    world.zk.set(world.root, b"1")
    polling.until(lambda: time.monotonic() > held + _SOON)
    world.zk.set(world.root, b"2")
    world.equal()
    worker.follows()
    assert world.owner(worker) != token
    _deliver(ways.first, until=held + _SOON)
    _answered(ways.first, answered)
    world.zk.set(world.root, b"3")
    world.equal()
    seen = _history(world, watch)
    assert seen[world.root.encode()] == [b"2", b"3"]
    assert _only_rose(seen[_checkpoint(world, worker)])


def test_a_write_of_a_dead_worker_lands_after_its_successor_wrote(
    world: mirroring.World, ways: Held
) -> None:
    world.zk.create(world.root, b"0")
    only_first = {"endpoints": [f"http://{ways.first.address}"], "request_timeout": 30.0}
    dead = world.worker(etcd=only_first)
    dead.follows()
    watch, reached = world.etcd.watch(world.etcd.revision()), world.checkpoint(dead)
    ways.first.hold("both")
    held, answered = time.monotonic(), ways.first.returned
    world.zk.set(world.root, b"1")
    polling.until(lambda: time.monotonic() > held + _SOON)
    only_second = {"endpoints": [f"http://{ways.second.address}"], **QUICK}
    successor = world.worker(identity=SUCCESSOR, reaped={"w0": 1}, etcd=only_second)
    world.zk.set(world.root, b"2")
    successor.follows()
    assert _floor(successor) >= reached > 0
    world.equal()
    _deliver(ways.first, until=held + _SOON)
    _answered(ways.first, answered)
    world.zk.set(world.root, b"3")
    world.equal()
    seen = _history(world, watch)
    written = seen[world.root.encode()]
    assert written[-1] == b"3"
    assert _only_rose(written)
    assert _only_rose(seen[_checkpoint(world, successor)])


def test_taking_the_shard_again_may_be_ambiguous_too(world: mirroring.World, ways: Held) -> None:
    """Both ways are held, one after the other: the put of the owner key is lost as well."""
    world.zk.create(world.root, b"0")
    worker = world.worker(etcd=ways.endpoints())
    worker.follows()
    ways = _as_used(world, ways)
    watch = world.etcd.watch(world.etcd.revision() + 1)
    ways.first.hold("both")
    ways.second.hold("both")
    held = time.monotonic()
    world.zk.set(world.root, b"1")
    worker.wait(lambda report: report.phase == "error", what="an error")
    world.zk.set(world.root, b"2")
    ways.second.release("both")
    world.equal()
    _deliver(ways.first, until=held + _SOON)
    world.zk.set(world.root, b"3")
    world.equal()
    worker.follows()
    assert _only_rose(_history(world, watch)[world.root.encode()])


def _threads() -> set[str]:
    """A shard's thread has its name."""
    return {thread.name for thread in threading.enumerate()}


def test_a_shard_that_was_left_while_etcd_was_away_is_free_soon_after(
    world: mirroring.World,
) -> None:
    """The worker lives on with another shard, and so does the lease of the owner key."""
    for name in ("left", "kept"):
        world.zk.create(world.path(name), b"0", makepath=True)
    shards = [mirroring.shard(path, path) for path in (world.path("left"), world.path("kept"))]
    with proxy.Proxy(world.etcd_address) as line:
        etcd = {"endpoints": [f"http://{line.address}"], "request_timeout": 1.0}
        worker = world.worker(shards=shards, etcd=etcd)
        worker.follows()
        owner = f"{world.state}/owners/{shards[0].id}"
        line.refuse()
        worker.assign({}, shards[1:])
        polling.until(lambda: shards[0].id not in _threads(), what="the shard is left")
        assert world.etcd.value(owner) is not None
        line.accept()
        polling.until(lambda: world.etcd.value(owner) is None, what="its owner key is gone")
        assert world.etcd.value(f"{world.state}/owners/{shards[1].id}") is not None
        worker.follows()


# --- the floor -----------------------------------------------------------------------------------


def _floor(worker: mirroring.Worker) -> int:
    sides = worker._worker._sides
    assert sides is not None
    return sides.session.floor()


def test_the_floor_is_read_after_the_shard_is_owned(world: mirroring.World) -> None:
    """Whoever waits for a shard learns how far its owner came in the end."""
    world.zk.create(world.root, b"0")
    first = world.worker()
    first.follows()
    second = world.worker(identity=OTHER)
    second.wait(lambda report: report.holder, what="waiting")
    for number in range(30):
        world.zk.set(world.root, b"%d" % number)
    world.equal()
    reached = world.checkpoint(first)
    assert reached >= world.zk.get(world.root)[1].mzxid
    first.drain()
    second.follows()
    assert _floor(second) >= reached


def test_no_value_is_in_etcd_before_a_checkpoint_that_covers_it(world: mirroring.World) -> None:
    """A worker may die at any moment of its first base: what it wrote is known by then."""
    world.zk.create(world.root, b"")
    for number in range(120):
        world.zk.create(world.path(f"n{number:03d}"), b"v")
    watch = world.etcd.watch(world.etcd.revision() + 1)
    worker = world.worker(etcd={"txn_ops": 10, "txn_in_flight": 3})
    worker.follows()
    for number in range(0, 120, 7):
        world.zk.set(world.path(f"n{number:03d}"), b"live")
    world.equal()
    _history(world, watch)
    written: dict[int, int] = {}
    covered = 0
    raised = {
        e.revision: records.decode_zxid(e.value or b"")
        for e in _of(watch, _checkpoint(world, worker))
    }
    for event in watch.events:
        path = event.key.decode()
        if path.startswith(world.root) and event.value in (b"v", b""):
            written[event.revision] = world.zk.get(path)[1].czxid
            covered = max((zxid for at, zxid in raised.items() if at <= event.revision), default=0)
            assert covered >= written[event.revision], path
    assert len(written) > 10, "one Txn wrote it all: the test shows nothing"


def _of(watch: observing.Watch, key: bytes) -> list[observing.Event]:
    return [event for event in watch.events if event.key == key]


def test_a_checkpoint_never_falls_whatever_order_writes_land_in(world: mirroring.World) -> None:
    settings = world.config()
    client = clients.Client(settings.etcd, metrics.null())
    lease = leases.Lease(client, 10.0)
    keys, shard = records.Keys(world.state), mirroring.shard(world.root, world.root)
    owned = fence.Fence(client, keys, lease, mirroring.FIRST, shard)
    owned.claim({})
    checkpoint = keys.checkpoint(shard.id)
    for number, zxid in enumerate([16, 5, 15, 256, 17]):
        acks: queue.SimpleQueue[apply.Ack] = queue.SimpleQueue()
        applier = apply.Applier(
            client,
            owned,
            checkpoint,
            settings.etcd,
            metrics.null(),
            acks.put,
            lambda path: (path + b"/", path + b"0"),
        )
        key = world.path(f"n{number}").encode()
        applier.add([plan.Write(key, b"v", key, zxid)])
        assert applier.flush()
        settled = applier.settle(acks.get(timeout=10))
        assert len(settled.done) == 1
    assert records.decode_zxid(world.etcd.value(checkpoint) or b"") == 256
    owned.release()
    lease.close()
    client.close()


def test_no_two_takings_of_a_shard_look_alike(world: mirroring.World) -> None:
    """An owner key that holds what we meant to put is taken for ours: so a shard that left this
    worker and came back must not be mistaken for what it was before."""
    client = clients.Client(world.config().etcd, metrics.null())
    lease = leases.Lease(client, 10.0)
    shard = mirroring.shard(world.root, world.root)
    keys, values = records.Keys(world.state), []
    for _ in range(2):
        owned = fence.Fence(client, keys, lease, mirroring.FIRST, shard)
        owned.claim({})
        values.append(world.etcd.value(keys.owner(shard.id)))
        owned.release()
    assert values[0] != values[1]
    lease.close()
    client.close()
