"""One prefix in several buckets: together they mirror all of it, and each keeps to its own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages
from zk2etcd_workers.model import mapping
from zk2etcd_workers.shard import gauges

SECOND = messages.Identity("inst", "w1", 1)
NAMES = [f"service{number:02}" for number in range(24)]
APPLY = {"delete_guard": {"first_sync": "apply"}}


def split(
    root: str, buckets: int, exclude: Sequence[str] = (), target: str = ""
) -> list[messages.Shard]:
    """The shards of one prefix, as the supervisor makes them."""
    target = target or root
    return [
        messages.Shard(
            messages.shard_id(root, target, bucket, buckets),
            root,
            target,
            tuple(exclude),
            bucket,
            buckets,
        )
        for bucket in range(buckets)
    ]


def of(bucket: int, buckets: int) -> list[str]:
    """The names that fall into a bucket."""
    return [name for name in NAMES if mapping.bucket(name.encode(), buckets) == bucket]


def seed(world: mirroring.World) -> None:
    """The root with 24 children of two each."""
    items = [(world.path(name), b"service") for name in NAMES]
    items += [(world.path(name, leaf), b"1") for name in NAMES for leaf in ("a", "b")]
    observing.seed(world.zk, [(world.root, b"root"), *items])


def spread(
    world: mirroring.World,
    shards: Sequence[messages.Shard],
    workers: int,
    **sections: Mapping[str, Any],
) -> list[mirroring.Worker]:
    """Workers with these shards, dealt out in turn, all following."""
    made = [
        mirroring.Worker(
            world.config(**sections),
            shards[number::workers],
            messages.Identity("inst", f"w{number}", 1),
            {},
        )
        for number in range(workers)
    ]
    world.workers += made
    for each in made:
        each.follows()
    return made


def deletes(watch: observing.Watch, root: str) -> list[bytes]:
    """The keys at or below the root that were deleted."""
    return [
        event.key
        for event in list(watch.events)
        if event.value is None and mapping.is_below(event.key, root.encode())
    ]


# --- together -------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("buckets", [2, 4])
def test_all_buckets_together_mirror_everything(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch, buckets: int, workers: int
) -> None:
    monkeypatch.setattr(gauges, "_COUNT_EVERY", 0.1)
    monkeypatch.setattr(gauges, "_PAGE", 7)
    seed(world)
    left = {world.path("hidden", "x").encode(): b"excluded", f"{world.root}//x".encode(): b"odd"}
    left |= {f"{world.root}/\udcff".encode("utf-8", "surrogateescape"): b"foreign"}
    extra = [(world.path(f"gone{number}"), b"extra") for number in range(8)]
    world.etcd.put_many([*left.items(), *extra])
    world.zk.create(world.path("hidden"), b"")
    shards = split(world.root, buckets, [world.path("hidden")])
    made = spread(world, shards, workers, sync=APPLY)

    def is_equal() -> bool:
        wanted = {**world.wanted(), **left}
        del wanted[world.path("hidden").encode()]
        return world.etcd.values(world.root) == wanted

    polling.until(is_equal, what="the base")
    for name in NAMES[:8]:
        world.zk.set(world.path(name, "a"), b"2")
        world.zk.delete(world.path(name, "b"))
        world.zk.ensure_path(world.path(name, "deep", "er"))
        world.zk.create(world.path(f"new-{name}"), b"")
    for name in NAMES[8:12]:  # move the subtree
        world.zk.delete(world.path(name), recursive=True)
        world.zk.ensure_path(world.path(f"{name}-moved", "a"))
    world.zk.set(world.root, b"root 2")
    polling.until(is_equal, what="live changes")

    def counted() -> bool:
        reports = [made[n].shard(m) for n in range(workers) for m in range(len(made[n].shards))]
        return sum(each.keys for each in reports if each) == len(world.wanted()) - 1

    polling.until(counted, what="the number of keys")
    for each in made:
        each.full_sync()
        assert each.counts.fixes == {"put": 0, "delete": 0}
    assert is_equal()


@pytest.mark.parametrize("protocol", ["bulk", "classic"])
def test_a_root_that_goes_and_comes_is_followed_by_every_bucket(
    world: mirroring.World, protocol: str
) -> None:
    seed(world)
    shards = split(world.root, 3)
    made = spread(world, shards, 2, zookeeper={"protocol": protocol})
    world.equal()
    for _ in range(2):
        world.zk.delete(world.root, recursive=True)
        world.equal()
        seed(world)
        world.equal()
    world.zk.set(world.path(NAMES[0], "a"), b"2")
    world.zk.create(world.path("late"), b"")
    world.equal()
    for each in made:
        each.drain()
    # The root is another one than at first, and every bucket knows.
    for number, each in enumerate(made):
        again = world.worker(
            shards=each.shards, identity=messages.Identity("inst", f"w{number}", 2), reaped={}
        )
        for at in range(len(each.shards)):
            assert again.wait(mirroring.is_following, number=at).guard is None
    world.equal()


# --- each for itself ------------------------------------------------------------------------------


def _leave(world: mirroring.World) -> None:
    """Keys as others have left them, for some of which there are nodes."""
    left = [(world.path(name), b"theirs") for name in NAMES]
    left += [(world.path(f"gone{number}", "x"), b"extra") for number in range(9)]
    left += [(world.root, b"theirs too"), (f"{world.root}//x", b"foreign")]
    world.etcd.put_many(left)


def _touched(world: mirroring.World, watch: observing.Watch, but: int) -> set[bytes]:
    """The mirrored keys that were written since the watch began, but for those at a revision."""
    now = world.etcd.revision()
    polling.until(lambda: watch.events and watch.events[-1].revision >= now, what="the watch")
    root = world.root.encode()
    events = [each for each in list(watch.events) if mapping.is_below(each.key, root)]
    return {each.key for each in events if each.revision != but}


@pytest.mark.parametrize("protocol", ["bulk", "classic"])
def test_a_bucket_alone_touches_nothing_of_the_others(
    world: mirroring.World, protocol: str
) -> None:
    """Nobody mirrors the other buckets here: whatever happens to a key of theirs, we did it."""
    shards = split(world.root, 3)
    mine = shards[1]
    owns = mapping.Mapping.of(mine).owns_key
    seed(world)
    _leave(world)
    revision = world.etcd.revision()
    watch = world.etcd.watch(revision + 1)
    worker = world.worker(shards=[mine], sync=APPLY, zookeeper={"protocol": protocol})
    worker.follows()

    def is_equal() -> bool:
        found = {key: value for key, value in world.etcd.values(world.root).items() if owns(key)}
        return found == {key: value for key, value in world.wanted().items() if owns(key)}

    polling.until(is_equal, what="the base")
    for name in NAMES:
        world.zk.set(world.path(name), b"2")
        world.zk.create(world.path(name, "c"), b"")
        world.zk.delete(world.path(name, "a"))
    polling.until(is_equal, what="live changes")
    world.etcd.put_many([(world.path(name, "b"), b"tampered") for name in NAMES])
    tampered = world.etcd.revision()
    worker.full_sync()
    polling.until(is_equal, what="a full sync")
    assert worker.counts.fixes == {"put": len(of(1, 3)), "delete": 0}
    world.zk.delete(world.root, recursive=True)
    polling.until(is_equal, what="the root's end")
    seed(world)
    polling.until(is_equal, what="a new root")
    # The tampering itself was one Txn.
    touched = _touched(world, watch, but=tampered)
    ours = {key for key in touched if owns(key)}
    assert {world.path(name).encode() for name in of(1, 3)} <= ours
    assert touched - ours == set()


def test_a_guarded_bucket_leaves_the_others_alone(world: mirroring.World) -> None:
    seed(world)
    shards = split(world.root, 2)
    (worker,) = spread(world, shards, 1)
    world.equal()
    worker.drain()
    before = world.etcd.values(world.root)
    for name in of(1, 2):
        world.zk.delete(world.path(name), recursive=True)
    kept = of(0, 2)
    world.zk.delete(world.path(kept[0], "a"))
    again = world.worker(shards=shards, identity=messages.Identity("inst", "w0", 2))
    held = again.trip(number=1)
    assert (held.deletes, held.present) == (3 * len(of(1, 2)), 3 * len(of(1, 2)))
    first = again.wait(lambda report: report.phase == "following", number=0)
    assert first.guard is None
    del before[world.path(kept[0], "a").encode()]
    polling.until(lambda: world.etcd.values(world.root) == before, what="bucket 0's delete")
    again.release(held.id, number=1)
    world.equal()


# --- other splits ---------------------------------------------------------------------------------


def test_another_split_of_the_same_prefix_waits(world: mirroring.World) -> None:
    seed(world)
    whole = world.worker(shards=split(world.root, 1))
    whole.follows()
    token = world.owner(whole)
    halves = world.worker(shards=split(world.root, 2), identity=SECOND)
    for number in range(2):
        report = halves.wait(lambda each: each.holder is not None, number=number)
        assert (report.phase, report.holder) == ("waiting", "inst/w0.1")
    assert world.owner(whole) == token
    whole.drain()
    halves.follows()
    quarters = world.worker(
        shards=split(world.root, 4)[:1], identity=messages.Identity("other", "w0", 1)
    )
    quarters.wait(lambda each: each.holder == "inst/w1.1", what="waiting for both halves")
    world.zk.create(world.path("late"), b"")
    world.equal()


class Churn(threading.Thread):
    """Sets, creates and deletes without an end; `gone` are the keys that went."""

    def __init__(self, world: mirroring.World) -> None:
        super().__init__(daemon=True)
        self._world = world
        self._over = threading.Event()
        self.error: BaseException | None = None
        self.gone: set[bytes] = set()

    def run(self) -> None:
        client = observing.connected(self._world.zookeeper)
        try:
            for turn in range(100_000):
                if self._over.is_set():
                    return
                name = NAMES[turn % len(NAMES)]
                client.set(self._world.path(name, "a"), b"%d" % turn)
                client.create(self._world.path(name, f"n{turn}"), b"")
                if turn >= len(NAMES):
                    old = self._world.path(name, f"n{turn - len(NAMES)}")
                    client.delete(old)
                    self.gone.add(old.encode())
        except BaseException as error:
            self.error = error
            raise
        finally:
            client.stop()
            client.close()

    def end(self) -> None:
        self._over.set()
        self.join(10)
        assert self.error is None


@pytest.fixture
def churn(world: mirroring.World) -> Iterator[Churn]:
    seed(world)
    made = Churn(world)
    yield made
    made.end()


def test_a_reload_from_one_to_three_and_back_loses_and_deletes_nothing(
    world: mirroring.World, churn: Churn
) -> None:
    worker = world.worker(shards=split(world.root, 1))
    worker.follows()
    world.equal()
    watch = world.etcd.watch(world.etcd.revision() + 1)
    churn.start()
    for buckets in (3, 1, 2):
        worker.assign({}, split(world.root, buckets))
        for number in range(buckets):
            assert worker.wait(mirroring.is_following, number=number).guard is None
    churn.end()
    world.equal()
    went = deletes(watch, world.root)
    assert len(went) == len(set(went))
    assert set(went) <= churn.gone
    owners = world.etcd.values(f"{world.state}/owners")
    assert len(owners) == 2
    worker.full_sync()
    assert worker.counts.fixes == {"put": 0, "delete": 0}


def test_buckets_of_a_worker_find_what_differs_off_the_same_pages(world: mirroring.World) -> None:
    """At a restart, and in full syncs of one order: another value, keys that only etcd has, and
    keys that it has not."""
    seed(world)
    shards, sync = split(world.root, 4), {"delete_guard": {"min_deletes": 10_000}}
    worker = world.worker(shards=shards, sync=sync)
    worker.follows()
    world.equal()
    worker.drain()

    def disturb() -> None:
        for name in NAMES:
            world.etcd.put(world.path(name, "gone"), b"")
            world.etcd.put(world.path(name), b"another value")
            world.etcd.delete(world.path(name, "b"))

    disturb()
    again = world.worker(shards=shards, sync=sync, identity=messages.Identity("inst", "w0", 2))
    again.follows()
    world.equal()
    disturb()
    again.full_sync(trace_id="one order")
    world.equal()
    for number in range(4):
        again.wait(lambda each: not each.full_sync_running, number=number)
    assert again.counts.fixes == {"put": 2 * len(NAMES), "delete": len(NAMES)}
    sides = again._worker._sides
    assert sides is not None
    assert not any(each.places for each in sides.shelves._shelves.values())


def resplit(
    world: mirroring.World, before: mirroring.Worker, buckets: int, incarnation: int
) -> mirroring.Worker:
    """Another worker, with another split, after this one has let go."""
    before.drain()
    identity = messages.Identity("inst", "w0", incarnation)
    return world.worker(shards=split(world.root, buckets), identity=identity)


def test_deletes_between_two_splits_are_not_those_of_a_first_sync(world: mirroring.World) -> None:
    seed(world)
    (worker,) = spread(world, split(world.root, 1), 1)
    for incarnation, buckets in enumerate((3, 2, 1), 2):
        worker.drain()
        world.zk.delete(world.path(NAMES[buckets], "a"))
        worker = world.worker(
            shards=split(world.root, buckets),
            identity=messages.Identity("inst", "w0", incarnation),
        )
        for number in range(buckets):
            assert worker.wait(mirroring.is_following, number=number).guard is None
        world.equal()


def test_half_a_split_is_no_former_one(world: mirroring.World) -> None:
    seed(world)
    world.etcd.put(world.path("theirs"), b"from before")
    halves = split(world.root, 2)
    half = next(
        each
        for each in halves
        if not mapping.Mapping.of(each).owns_key(b"%s/theirs" % world.root.encode())
    )
    (worker,) = spread(world, [half], 1)
    # The other was taken once, and never mirrored anything.
    (other,) = (each for each in halves if each is not half)
    world.etcd.put(f"{world.state}/checkpoints/{other.id}", b"0" * 16)
    whole = resplit(world, worker, 1, 2)
    guard = whole.trip()
    assert guard.reason.startswith("first sync")
    assert world.etcd.value(world.path("theirs")) == b"from before"


def test_a_split_that_took_over_in_part_makes_nothing_forgotten(world: mirroring.World) -> None:
    """One of the halves has not run since the whole did, so that it knows less than the whole of
    what is its own to see to."""
    seed(world)
    halves = split(world.root, 2)
    (worker,) = spread(world, halves, 1)
    whole = resplit(world, worker, 1, 2)
    whole.follows()
    changed = {}
    for name in NAMES[:8]:  # one by one: a Txn of many marks some of them
        for value in (b"1", b"2"):
            changed[world.path(name)] = world.zk.set(world.path(name), value).mzxid
            world.equal()
    whole.drain()
    half = world.worker(shards=halves[1:], identity=messages.Identity("inst", "w0", 3))
    half.follows()
    again = resplit(world, half, 1, 4)
    again.follows()
    known = _taken_over(world, again.shards[0].id)
    assert {path: known.get(path) for path in changed} == changed


def _taken_over(world: mirroring.World, shard: str) -> dict[str, int]:
    """The highest zxid of each path in the marks that a shard took over; its base adds others."""
    identity = json.loads(world.etcd.value(f"{world.state}/identities/{shard}") or b"")
    found: dict[str, int] = {}
    for key, value in world.etcd.values(f"{world.state}/marks/{shard}").items():
        marks = json.loads(value)
        if int(marks["token"], 16) == identity["era"] and "walked" not in str(key):
            for path, (mzxid, _) in marks["marks"].items():
                found[path] = max(found.get(path, 0), int(mzxid, 16))
    return found


def test_what_a_guard_holds_is_held_by_the_next_split_too(world: mirroring.World) -> None:
    seed(world)
    world.etcd.put_many([(world.path(f"theirs{number}"), b"") for number in range(9)])
    worker = world.worker(shards=split(world.root, 1))
    worker.trip()
    again = resplit(world, worker, 2, 2)
    for number in range(2):
        guard = again.trip(number=number)
        assert guard.reason.startswith("first sync")
        again.release(guard.id, number)
    world.equal()
    whole = resplit(world, again, 1, 3)
    assert whole.follows().guard is None


def test_another_ensemble_is_noticed_by_the_next_split_too(
    fresh_world: mirroring.World,
) -> None:
    """There is nothing beside the root that could tell."""
    world = fresh_world
    seed(world)
    (worker,) = spread(world, split(world.root, 1), 1)
    before = world.etcd.values(world.root)
    worker.drain()
    world.zk.delete(world.root, recursive=True)
    seed(world)
    world.zk.set(world.path(NAMES[0]), b"other")
    again = world.worker(shards=split(world.root, 2), identity=messages.Identity("inst", "w0", 2))
    for number in range(2):
        assert again.trip(number=number).kind == "identity"
    assert world.etcd.values(world.root) == before
    for number in range(2):
        again.release(again.trip(number=number).id, number)
    again.follows()
    world.equal()
    # The root that the halves know by now is known to the whole, which knew the one before.
    whole = resplit(world, again, 1, 3)
    assert whole.follows().guard is None


def test_one_bucket_held_for_its_ensemble_holds_all_of_the_next_split(
    world: mirroring.World,
) -> None:
    """What told it is in the keys of that bucket alone, or nowhere any more."""
    seed(world)
    (worker,) = spread(world, split(world.root, 2), 1)
    worker.drain()
    distrusted = {"id": "0123456789ab", "kind": "identity", "reason": "identity: another"}
    trip = {**distrusted, "deletes": 0, "present": 9, "sample": [], "since": 1.0}
    record = {"v": 1, "first": True, "present": 9, "lowers": False, "trip": trip}
    key = f"{world.state}/guards/{worker.shards[0].id}"
    world.etcd.put(key, json.dumps(record).encode())
    before = world.etcd.values(world.root)
    for name in NAMES:
        world.zk.set(world.path(name), b"other")
    again = world.worker(shards=split(world.root, 3), identity=messages.Identity("inst", "w0", 2))
    found = [again.trip(number=number) for number in range(3)]
    assert {each.kind for each in found} == {"identity"}
    assert {each.reason for each in found} == {"identity: another"}
    assert len({each.id for each in found} - {"0123456789ab"}) == 3, "each is released by itself"
    assert world.etcd.values(world.root) == before
    for number, each in enumerate(found):
        again.release(each.id, number)
    again.follows()
    world.equal()
    whole = resplit(world, again, 1, 3)
    assert whole.follows().guard is None


def test_an_earlier_state_that_one_bucket_knows_of_is_noticed_by_all_of_the_next_split(
    world: mirroring.World,
) -> None:
    """What was written last is lost first, and there need be no mark of each key of it."""
    seed(world)
    (worker,) = spread(world, split(world.root, 2), 1)
    changed = of(0, 2)[0]
    stat = world.zk.set(world.path(changed), b"2")
    world.equal()
    worker.drain()
    prefix = f"{world.state}/marks/{worker.shards[0].id}"
    key, value = max(
        ((key, value) for key, value in world.etcd.values(prefix).items() if b"changed" in key),
        key=lambda of: int(json.loads(of[1])["token"], 16),
    )
    lost = {world.path(changed): [f"{stat.mzxid + 9:x}", f"{stat.czxid:x}"]}
    world.etcd.put(key.decode(), json.dumps({**json.loads(value), "marks": lost}).encode())
    before = world.etcd.values(world.root)
    again = world.worker(shards=split(world.root, 3), identity=messages.Identity("inst", "w0", 2))
    for number in range(3):
        assert again.trip(number=number).kind == "identity"
    assert world.etcd.values(world.root) == before


def test_what_one_split_was_released_of_does_not_hold_the_next(world: mirroring.World) -> None:
    """The whole's checkpoint is of an ensemble far ahead, which the halves were released of."""
    seed(world)
    (worker,) = spread(world, split(world.root, 1), 1)
    halves = resplit(world, worker, 2, 2)
    halves.follows()
    halves.drain()
    (whole,) = split(world.root, 1)
    world.etcd.put(f"{world.state}/checkpoints/{whole.id}", b"%016x" % (1 << 60))
    since = world.etcd.revision()
    for each in halves.shards:
        key = f"{world.state}/identities/{each.id}"
        record = json.loads(world.etcd.value(key) or b"")
        world.etcd.put(key, json.dumps({**record, "since": since}).encode())
    again = world.worker(shards=halves.shards, identity=messages.Identity("inst", "w0", 3))
    again.follows()
    for name in NAMES:
        world.zk.set(world.path(name), b"2")
    world.equal()
    back = resplit(world, again, 1, 4)
    assert back.follows().guard is None
    assert world.checkpoint(back) < 1 << 60


def test_a_pause_outlives_a_change_of_the_split(world: mirroring.World) -> None:
    seed(world)
    (worker,) = spread(world, split(world.root, 1), 1)
    worker.pause(by="alice")
    worker.wait(lambda report: report.phase == "paused")
    again = resplit(world, worker, 2, 2)
    for number in range(2):
        report = again.wait(lambda each: each.phase == "paused", number=number)
        assert report.pause is not None
        assert report.pause.by == "alice"
        again.resume(number)
    again.follows()
    whole = resplit(world, again, 1, 3)
    assert whole.follows().pause is None
