"""A shard that a person paused: nothing of it is written, by nobody, until they resume it."""

from __future__ import annotations

import json
import time

import pytest

from tests import polling, proxy
from tests.integration import commands, mirroring, observing
from zk2etcd import conditions, messages

NEXT = messages.Identity("inst", "w0", 2)
HEIR = messages.Identity("other", "w1", 1)
GUARD = {"delete_guard": {"min_deletes": 5, "max_ratio": 0.3}}


def is_paused(report: messages.ShardReport) -> bool:
    return report.phase == "paused"


def paused(worker: mirroring.Worker) -> conditions.Paused:
    pause = worker.wait(is_paused, what="a pause").pause
    assert pause is not None
    return pause


def shards_keys(world: mirroring.World) -> dict[bytes, int]:
    """Every key of the prefix, and ours but those that only say who is there: key -> revision."""
    base = world.state.encode()
    found = {
        **world.etcd.range(base + b"/", base + b"0"),
        **world.etcd.range(world.root.encode(), world.root.encode() + b"0"),
    }
    passing = (b"/owners/", b"/members/")
    return {
        key: kv.mod_revision
        for key, kv in found.items()
        if not any(part in key for part in passing)
    }


def seeded(world: mirroring.World, count: int = 20) -> mirroring.Worker:
    leaves = [(world.path(f"n{number}"), b"old") for number in range(count)]
    observing.seed(world.zk, [(world.root, b""), *leaves])
    worker = world.worker(sync=GUARD)
    worker.follows()
    world.equal()
    return worker


def test_nothing_is_written_by_anybody_until_it_is_resumed(world: mirroring.World) -> None:
    worker = seeded(world)
    worker.pause(by="alice@desk (127.0.0.1)")
    pause = paused(worker)
    assert pause.by == "alice@desk (127.0.0.1)"
    assert abs(pause.since - time.time()) < 30
    stored = world.etcd.value(f"{world.state}/pauses/{worker.shards[0].id}")
    assert json.loads(stored or b"") == {"v": 1, "by": pause.by, "since": pause.since}

    before = shards_keys(world)
    world.zk.set(world.path("n0"), b"new")
    world.zk.create(world.path("more"), b"new")
    world.zk.delete(world.path("n1"))
    report = worker.wait(lambda each: each.owned and is_paused(each))
    assert (report.error, report.full_sync_running) == (None, False)
    # A new process of the same supervisor, and another supervisor after it.
    worker.drain()
    successor = world.worker(identity=NEXT, reaped={"w0": 1}, sync=GUARD)
    assert paused(successor) == pause
    successor.drain()
    heir = world.worker(identity=HEIR, sync=GUARD)
    assert paused(heir) == pause
    assert heir.wait(is_paused).keys == 21
    assert shards_keys(world) == before

    heir.resume()
    report = heir.follows()
    assert (report.guard, report.pause) == (None, None)
    world.equal()
    assert world.etcd.value(f"{world.state}/pauses/{worker.shards[0].id}") is None
    world.zk.set(world.path("n2"), b"live")
    world.equal()


@pytest.mark.alone
def test_a_write_under_way_cannot_land_once_it_is_paused(world: mirroring.World) -> None:
    world.zk.create(world.root, b"0")
    with proxy.Proxy(world.etcd_address) as first, proxy.Proxy(world.etcd_address) as second:
        ways = [f"http://{each.address}" for each in (first, second)]
        # Both are asked who they are: the first to answer is gone on with.
        second.delay(0.2, "down")
        worker = world.worker(etcd={"endpoints": ways, "request_timeout": 1.0})
        worker.follows()
        second.delay(0.0, "down")
        first.hold("both")
        held, answered = time.monotonic(), first.returned
        world.zk.set(world.root, b"1")
        polling.until(lambda: time.monotonic() > held + 0.7)
        worker.pause()
        paused(worker)
        first.release("up", until=held + 0.7)
        first.release("down")
        polling.until(lambda: first.returned > answered, what="etcd answered the late write")
        assert world.etcd.value(world.root) == b"0"
        worker.resume()
        world.equal()


def test_a_base_is_cut_off(world: mirroring.World) -> None:
    leaves = [(world.path(f"n{number}"), b"old") for number in range(300)]
    observing.seed(world.zk, [(world.root, b""), *leaves])
    worker = world.worker(etcd={"max_writes_per_second": 40, "txn_ops": 10})
    polling.until(lambda: len(world.etcd.values(world.root)) >= 20, what="a base under way")
    worker.pause()
    paused(worker)
    before = shards_keys(world)
    assert len(world.etcd.values(world.root)) < 200
    # It is asked for again, as when the first order was lost: nothing more comes of it.
    worker.pause()
    worker.drain()
    fast = world.worker(identity=NEXT, reaped={"w0": 1})
    paused(fast)
    assert shards_keys(world) == before
    fast.resume()
    fast.follows()
    world.equal()


def test_the_last_order_counts_and_is_the_one_that_is_told(world: mirroring.World) -> None:
    worker = seeded(world)
    worker.pause(order="1")
    assert worker.wait(is_paused).ordered == "1"
    worker.resume(order="2")
    worker.pause(order="3")
    report = worker.wait(lambda each: each.ordered == "3")
    assert is_paused(worker.wait(lambda each: each.phase != "waiting"))
    worker.resume(order="4")
    report = worker.wait(lambda each: each.ordered == "4")
    assert not is_paused(report)
    worker.follows()
    # What is so already is told at once, and disturbs nothing.
    token = world.owner(worker)
    worker.resume(order="5")
    worker.wait(lambda each: each.ordered == "5")
    assert world.owner(worker) == token


def test_what_went_meanwhile_is_the_guards_case(world: mirroring.World) -> None:
    worker = seeded(world)
    # Some are seen to go before the pause, and may not have been written yet.
    for number in range(3):
        world.zk.delete(world.path(f"n{number}"))
    worker.pause()
    paused(worker)
    for number in range(3, 12):
        world.zk.delete(world.path(f"n{number}"))
    worker.resume()
    guard = worker.trip()
    assert guard.deletes >= 9
    assert world.etcd.value(world.path("n11")) == b"old"

    # A guarded shard may be paused, and is guarded again afterwards.
    worker.pause()
    report = worker.wait(is_paused)
    assert report.guard == guard
    worker.drain()
    heir = world.worker(identity=HEIR, sync=GUARD)
    assert heir.wait(is_paused).guard == guard
    heir.resume()
    assert heir.wait(lambda each: each.phase == "guarded").guard == guard
    heir.release(guard.id)
    heir.wait(lambda each: each.phase == "following")
    world.equal()


def test_one_that_another_owns_is_not_paused_later_either(world: mirroring.World) -> None:
    owner = seeded(world)
    standby = world.worker(identity=HEIR, sync=GUARD)
    standby.wait(lambda each: each.holder is not None, what="a holder")
    standby.pause()
    owner.drain()
    standby.follows()
    world.zk.set(world.path("n0"), b"new")
    world.equal()
    assert standby.wait(lambda each: each.owned).pause is None


def test_a_repair_by_diff_is_refused(world: mirroring.World, diff: commands.Command) -> None:
    world.zk.create(world.root, b"0")
    pause = b'{"by":"alice","since":1795516932.25,"v":1}'
    world.etcd.put(f"{world.state}/pauses/{diff.shard}", pause)
    outcome = diff("--fix", "--round-interval", "50ms")
    assert outcome.code == 1
    assert f"shard {diff.shard} is paused since 2026-11-24 10:42:12" in outcome.err
    assert f"by alice: nothing is written to it until `zk2etcd resume {diff.shard}`" in outcome.err
    assert not world.etcd.values(world.root)
