"""Keys that are ours by a mark: beside strangers and another mirror, in one range."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import pytest

from tests import polling
from tests.integration import commands, marking, mirroring, observing
from zk2etcd import messages
from zk2etcd_workers.belonging import marks as belonging
from zk2etcd_workers.walk import marked as marked_reader


@pytest.fixture
def shard(world: mirroring.World) -> messages.Shard:
    return marking.marked(world.root, world.root)


def _values(world: mirroring.World) -> Mapping[bytes, bytes]:
    return world.etcd.values(world.root)


def test_what_we_create_is_marked_and_what_others_have_is_left(
    world: mirroring.World, shard: messages.Shard
) -> None:
    world.zk.create(world.root, b"")
    names = [f"n{number:03d}" for number in range(300)]
    marking.grown(world, names)
    theirs = {world.path(name): b"theirs" for name in ("n005", "n250", "other", "n010/below")}
    for key, value in theirs.items():
        world.etcd.put(key, value)
    worker = world.worker(shards=[shard])
    report = worker.follows()
    values = _values(world)
    assert {key: values[key.encode()] for key in theirs} == theirs
    ours = {world.root, *map(world.path, names)} - theirs.keys()
    assert marking.marks(world, shard) == ours
    assert all(
        values[world.path(name).encode()] == b"ours" for name in names if world.path(name) in ours
    )
    assert report.conflicts == 2
    assert set(report.conflict_paths) == {world.path("n005"), world.path("n250")}
    # Live: of both, only ours is changed; what theirs is in the way of is told.
    world.zk.set(world.path("n006"), b"new")
    world.zk.set(world.path("n005"), b"new")
    world.zk.create(world.path("other"), b"ours")
    world.zk.delete(world.path("n250"))
    world.zk.delete(world.path("n007"))
    polling.until(lambda: world.etcd.value(world.path("n006")) == b"new")
    polling.until(lambda: world.etcd.value(world.path("n007")) is None)
    worker.wait(lambda r: set(r.conflict_paths) == {world.path("n005"), world.path("other")})
    assert {key: world.etcd.value(key) for key in theirs} == theirs
    assert marking.marks(world, shard) == ours - {world.path("n007")}
    # What goes becomes ours within a full sync; what is ours and was deleted comes back.
    world.etcd.delete(world.path("n005"))
    world.etcd.delete(world.path("n020"))
    world.etcd.put(world.path("n021"), b"tampered")
    worker.full_sync()
    polling.until(lambda: world.etcd.value(world.path("n005")) == b"new")
    assert world.etcd.value(world.path("n020")) == b"ours"
    assert world.etcd.value(world.path("n021")) == b"ours"
    worker.full_sync()
    report = worker.wait(lambda r: r.conflicts == 1)
    assert marking.marks(world, shard) == ours - {world.path("n007")} | {world.path("n005")}
    worker.close()


def test_another_s_key_in_the_place_of_ours_is_theirs(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """Deleted and made anew by somebody else: our mark says nothing of it, and is collected."""
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "b", "c", "d"])
    worker = world.worker(shards=[shard])
    worker.follows()
    for name in ("a", "b"):
        world.etcd.delete(world.path(name))
        world.etcd.put(world.path(name), b"theirs")
    world.zk.set(world.path("a"), b"new")
    world.zk.delete(world.path("b"))
    worker.wait(lambda r: r.conflicts == 1)
    world.zk.set(world.path("c"), b"new")
    polling.until(lambda: world.etcd.value(world.path("c")) == b"new")
    assert world.etcd.value(world.path("a")) == world.etcd.value(world.path("b")) == b"theirs"
    worker.full_sync()
    left = {world.root, *map(world.path, ("c", "d"))}
    polling.until(lambda: marking.marks(world, shard) == left)
    # Nor is it after a start, which knows nothing by heart.
    worker.close()
    again = world.worker(
        shards=[shard], identity=dataclasses.replace(mirroring.FIRST, incarnation=2)
    )
    assert again.follows().conflicts == 1
    world.etcd.delete(world.path("a"))
    world.zk.set(world.path("a"), b"newer")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"newer")
    again.wait(lambda r: r.conflicts == 0)
    assert marking.marks(world, shard) == {*left, world.path("a")}


def test_two_mirrors_share_one_range(world: mirroring.World) -> None:
    """Each has its own; what both have is whose it was first, and the other's once that one gives
    it up."""
    one, other = world.path("one"), world.path("other")
    to = world.path("to")
    for source in (one, other):
        world.zk.create(source, b"", makepath=True)
        observing.seed(
            world.zk, [(f"{source}/own{source[-1]}", b"v"), (f"{source}/both", source.encode())]
        )
    shards = [marking.marked(one, to), marking.marked(other, to)]
    worker = world.worker(shards=shards)
    worker.follows()
    values = world.etcd.values(to)
    assert {key.decode() for key in values} == {to, f"{to}/owne", f"{to}/ownr", f"{to}/both"}
    first = 0 if values[f"{to}/both".encode()] == one.encode() else 1
    worker.wait(lambda r: r.conflicts > 0, number=1 - first)
    world.zk.delete(f"{(one, other)[first]}/both")
    polling.until(lambda: world.etcd.value(f"{to}/both") is None)
    worker.full_sync()
    polling.until(lambda: world.etcd.value(f"{to}/both") == (other, one)[first].encode())


# --- how it is read ------------------------------------------------------------------------------


@pytest.mark.parametrize("by_heart", [True, False])
def test_a_compaction_makes_no_conflict(
    world: mirroring.World, shard: messages.Shard, monkeypatch: pytest.MonkeyPatch, by_heart: bool
) -> None:
    """Between a page of keys and its marks, over and over: none is taken for a stranger's."""
    monkeypatch.setattr(belonging.Marks, "knows_whole", by_heart)
    world.zk.create(world.root, b"")
    marking.grown(world, [f"n{number:04d}" for number in range(3_000)])
    worker = world.worker(shards=[shard])
    worker.follows(30)
    plain = marked_reader.Reader._answer
    compacted: list[int] = []

    def late(self: marked_reader.Reader, asked: Any) -> Any:
        assert asked.counted is by_heart
        if len(compacted) < 5:
            page = asked.keys()
            world.etcd.put("outside", b"%d" % len(compacted))
            compacted.append(world.etcd.revision())
            world.etcd.compact(compacted[-1])
            after = self._client.range_soon(
                self._marks.name(asked.start),
                self._marks.name(asked.stop),
                revision=asked.revision,
                count_only=by_heart,
            )
            asked = asked._replace(keys=lambda: page, marks=after)
        return plain(self, asked)

    monkeypatch.setattr(marked_reader.Reader, "_answer", late)
    before = world.etcd.below(world.root)
    for _ in range(2):
        report = worker.full_sync(60)
        assert report.conflicts == 0
        assert report.last_full_sync is not None
        assert (report.last_full_sync.put, report.last_full_sync.delete) == (0, 0)
    assert len(compacted) == 5
    assert world.etcd.below(world.root) == before


def test_marks_are_read_where_their_number_is_another(
    world: mirroring.World, shard: messages.Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known by heart is counted only; strangers' keys, between ours, do not change that."""
    read: list[int] = []
    plain = marked_reader.Reader._marks_before

    def noted(self: marked_reader.Reader, asked: Any, end: bytes) -> Any:
        found = plain(self, asked, end)
        read.append(len(found.keys))
        return found

    world.zk.create(world.root, b"")
    names = [f"n{number:03d}" for number in range(300)]
    marking.grown(world, names)
    world.etcd.put(world.path("n005"), b"theirs")
    world.etcd.put(world.path("n100x"), b"theirs")
    worker = world.worker(shards=[shard])
    assert worker.follows().conflicts == 1
    monkeypatch.setattr(marked_reader.Reader, "_marks_before", noted)
    world.zk.create(world.path("n300"), b"ours")
    world.zk.delete(world.path("n007"))
    polling.until(lambda: world.path("n007") not in marking.marks(world, shard))
    polling.until(lambda: world.path("n300") in marking.marks(world, shard))
    report = worker.full_sync()
    assert (report.conflicts, report.conflict_paths) == (1, (world.path("n005"),))
    assert read == []
    # One mark is lost, and there is one that says nothing.
    world.etcd.delete(marking.base(world, shard) + world.path("n250"))
    world.etcd.put(marking.base(world, shard) + world.path("nobody"), b"")
    worker.full_sync()
    report = worker.wait(lambda r: r.conflicts == 2)
    assert set(report.conflict_paths) == {world.path("n005"), world.path("n250")}
    polling.until(lambda: world.path("nobody") not in marking.marks(world, shard))
    assert sum(read) >= 2
    # A full sync learns what was marked meanwhile.
    held = world.etcd.get(world.path("n250"))
    assert held is not None
    mark = belonging.value(held.create_revision)
    world.etcd.put(marking.base(world, shard) + world.path("n250"), mark)
    assert worker.full_sync().conflicts == 1
    read.clear()
    assert worker.full_sync().conflicts == 1
    assert read == []
    world.zk.set(world.path("n250"), b"new")
    polling.until(lambda: world.etcd.value(world.path("n250")) == b"new")
    worker.close()


def test_strangers_keys_between_ours_hide_none(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """More of theirs than a page holds, before, between and after ours."""
    world.zk.create(world.root, b"")
    marking.grown(world, [f"n{number:03d}" for number in range(200)])
    items = [(world.path(f"{name}{number:05d}"), b"x") for name in "az" for number in range(1_500)]
    items += [(world.path(f"n100x{number:04d}"), b"x") for number in range(1_500)]
    world.etcd.put_many(items)
    worker = world.worker(shards=[shard])
    worker.follows(30)
    before = world.etcd.below(world.root)
    assert len(before) == 4_701
    world.etcd.delete(world.path("n199"))
    world.etcd.put(world.path("n000"), b"tampered")
    worker.full_sync(30)
    polling.until(lambda: world.etcd.value(world.path("n199")) == b"ours")
    polling.until(lambda: world.etcd.value(world.path("n000")) == b"ours")
    assert len(world.etcd.below(world.root)) == 4_701
    assert worker.full_sync(30).conflicts == 0


def test_the_guard_counts_ours_alone(world: mirroring.World, shard: messages.Shard) -> None:
    """120 of our 150 keys are nearly all of ours, and few of what is there."""
    world.zk.create(world.root, b"")
    names = [f"n{number:03d}" for number in range(150)]
    marking.grown(world, names)
    world.etcd.put_many((world.path(f"their{number:04d}"), b"x") for number in range(2_000))
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    for name in names[:120]:
        world.zk.delete(world.path(name))
    again = world.worker(shards=[shard], identity=marking.SECOND)
    trip = again.trip()
    assert (trip.deletes, trip.present) == (120, 151)
    again.release(trip.id)
    polling.until(lambda: len(world.etcd.below(world.root)) == 2_031)
    assert len(marking.marks(world, shard)) == 31


def test_buckets_have_one_prefix_s_marks(world: mirroring.World) -> None:
    """Another number of them changes nothing about what is ours."""
    world.zk.create(world.root, b"")
    marking.grown(world, [f"n{number:03d}" for number in range(200)])
    theirs = world.path("n003")
    world.etcd.put(theirs, b"theirs")

    worker = world.worker(shards=marking.split(world.root, world.root, 3))
    worker.follows()
    polling.until(lambda: sum(worker_report(worker, n).conflicts for n in range(3)) == 1)
    assert len(marking.marks(world, worker.shards[0])) == 200
    worker.drain()
    world.zk.delete(world.path("n004"))
    whole = world.worker(shards=marking.split(world.root, world.root, 1), identity=marking.SECOND)
    report = whole.follows()
    assert (report.conflicts, report.guard) == (1, None)
    polling.until(lambda: world.etcd.value(world.path("n004")) is None)
    assert world.etcd.value(theirs) == b"theirs"


def worker_report(worker: mirroring.Worker, number: int) -> messages.ShardReport:
    report = worker.shard(number)
    assert report is not None
    return report


# --- strangers, watched --------------------------------------------------------------------------


def test_what_they_let_go_is_ours_at_once_where_they_are_watched(
    world: mirroring.World, shard: messages.Shard
) -> None:
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "b", "c"])
    world.etcd.put(world.path("b"), b"theirs")
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None)
    worker.wait(lambda r: r.conflicts == 1)
    for number in range(5):  # Nobody fights for it.
        world.etcd.put(world.path("b"), b"theirs%d" % number)
    world.etcd.put(world.path("a"), b"tampered")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"ours", 3)
    assert world.etcd.value(world.path("b")) == b"theirs4"
    world.etcd.delete(world.path("b"))
    polling.until(lambda: world.etcd.value(world.path("b")) == b"ours", 3)
    worker.wait(lambda r: r.conflicts == 0)
    world.etcd.delete(world.path("c"))
    polling.until(lambda: world.etcd.value(world.path("c")) == b"ours", 3)
    assert marking.marks(world, shard) == {world.root, *map(world.path, "abc")}


def test_what_others_do_to_their_own_is_not_looked_at(
    world: mirroring.World, shard: messages.Shard, strange: list[bytes]
) -> None:
    """Where they are watched: another mirror of the range may write a thousand keys a second."""
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "b", "c", "both"])
    world.etcd.put(world.path("both"), b"theirs")
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None and r.conflicts == 1)
    for number in range(50):
        world.etcd.put(world.path(f"theirs{number}"), b"x")
        world.etcd.put(world.path(f"theirs{number}"), b"y")
        world.etcd.put(world.path("both"), b"theirs%d" % number)
    world.zk.create(world.path("d"), b"ours")
    polling.until(lambda: world.etcd.value(world.path("d")) == b"ours")
    for name in ("a", "d"):
        world.etcd.put(world.path(name), b"tampered")
        polling.until(lambda: world.etcd.value(world.path(name)) == b"ours", 3)  # noqa: B023
    assert set(strange) == {world.path("a").encode(), world.path("d").encode()}
    world.etcd.delete(world.path("both"))
    polling.until(lambda: world.etcd.value(world.path("both")) == b"ours", 3)


def test_once_and_dry_run(world: mirroring.World, shard: messages.Shard) -> None:
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "b"])
    world.etcd.put(world.path("b"), b"theirs")
    dry = world.worker(shards=[shard], once=True, dry_run=True)
    assert dry.follows().conflicts == 1
    assert set(world.etcd.values(world.root)) == {world.path("b").encode()}
    dry.close()
    once = world.worker(shards=[shard], once=True, identity=marking.SECOND)
    report = once.follows()
    assert report.last_full_sync is not None
    assert (report.conflicts, report.last_full_sync.put) == (1, 2)
    assert world.etcd.value(world.path("b")) == b"theirs"


def test_long_paths_and_the_root_of_all(fresh_world: mirroring.World) -> None:
    """`to: /`, whose own key lies in the range, and paths beyond a thousand bytes."""
    world = fresh_world
    long = "/" + "x" * 3_000
    observing.seed(world.zk, [("/own", b"o"), ("/own" + long, b"v"), ("/own/a", b"v")])
    shard = marking.marked("/own", "/")
    worker = world.worker(shards=[shard])
    worker.follows()
    values = world.etcd.values("/")
    assert values == {b"/": b"o", long.encode(): b"v", b"/a": b"v"}
    world.zk.set("/own" + long, b"new")
    world.zk.set("/own", b"new")
    polling.until(lambda: world.etcd.value(long) == b"new")
    polling.until(lambda: world.etcd.value("/") == b"new")
    world.zk.delete("/own" + long)
    polling.until(lambda: world.etcd.value(long) is None)
    assert marking.marks(world, shard) == {"/", "/a"}
    assert worker.full_sync().conflicts == 0


def test_what_is_below_a_deleted_node_goes_if_it_is_ours(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """Theirs below it stays; and so does the folder's, if it is theirs."""
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "a/b", "a/b/c"])
    worker = world.worker(shards=[shard])
    worker.follows()
    world.etcd.put(world.path("a", "theirs"), b"x")
    world.zk.delete(world.path("a"), recursive=True)
    polling.until(lambda: world.etcd.value(world.path("a", "b", "c")) is None)
    polling.until(lambda: world.etcd.value(world.path("a")) is None)
    assert set(world.etcd.values(world.root)) == {
        world.root.encode(),
        world.path("a", "theirs").encode(),
    }
    polling.until(lambda: marking.marks(world, shard) == {world.root})


def test_owners_of_one_range_exclude_each_other_unless_both_go_by_marks(
    world: mirroring.World,
) -> None:
    one, other, to = world.path("one"), world.path("other"), world.path("to")
    for source in (one, other):
        world.zk.create(source, b"", makepath=True)
    worker = world.worker(shards=[marking.marked(one, to)])
    worker.follows()
    plain = world.worker(shards=[mirroring.shard(other, to)], identity=marking.SECOND)
    plain.wait(lambda r: r.holder is not None)
    beside = world.worker(
        shards=[marking.marked(other, to)], identity=dataclasses.replace(marking.SECOND, slot="w1")
    )
    beside.follows()
    assert b'"min_reader":2' in (world.etcd.value(f"{world.state}/format") or b"")


def test_a_marked_prefix_is_not_mirrored_by_range(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """Others may have keys there, and all of them would go; a person deletes the marks first."""
    world.zk.create(world.root, b"")
    world.etcd.put(world.path("theirs"), b"x")
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    plain = dataclasses.replace(shard, ownership="range")
    worker = world.worker(shards=[plain], identity=marking.SECOND)
    report = worker.wait(lambda r: r.error is not None)
    assert "sync.ownership: marks" in str(report.error)
    assert world.etcd.value(world.path("theirs")) == b"x"
    world.etcd.delete(marking.base(world, shard))
    world.etcd.delete_below(marking.base(world, shard))
    worker.wait(lambda r: r.phase == "following", 20)


def test_diff_tells_conflicts_and_repairs_what_is_ours(
    world: mirroring.World,
    shard: messages.Shard,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    world.zk.create(world.root, b"")
    marking.grown(world, ["a", "b", "c"])
    world.etcd.put(world.path("b"), b"theirs")
    world.etcd.put(world.path("other"), b"theirs")
    diff = commands.Command("diff", world, tmp_path, capsys)
    diff.configure(sync={"prefixes": [world.root], "ownership": "marks"})
    fixed = diff(*commands.QUICK, "--fix")
    assert "3 put, 0 deleted" in fixed.out
    assert "conflict (with somebody else's key in their place): 1" in fixed.out
    assert fixed.code == 1
    assert len(marking.marks(world, shard)) == 3
    world.etcd.delete(world.path("b"))
    world.zk.delete(world.path("c"))
    world.etcd.put(world.path("a"), b"tampered")
    document = diff(*commands.QUICK, "--json").document()
    (found,) = document["shards"]
    assert {kind: found[kind] for kind in ("missing", "extra", "differs", "conflict")} == {
        "missing": 1,
        "extra": 1,
        "differs": 1,
        "conflict": 0,
    }
    assert diff(*commands.QUICK, "--fix").code == 0
    assert world.etcd.value(world.path("other")) == b"theirs"
    assert marking.marks(world, shard) == {world.root, world.path("a"), world.path("b")}


def test_many_marks_without_keys_are_collected(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """More of them than a page holds, before and between what is there; some come anew."""
    world.zk.create(world.root, b"")
    names = [f"n{number:03d}" for number in range(600)]
    marking.grown(world, names)
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    kept = {"n299", "n599"}
    for name in names:
        if name not in kept:
            world.etcd.delete(world.path(name))
        if name not in kept and name[-1] != "0":
            world.zk.delete(world.path(name))
    left = {world.root, *(world.path(name) for name in names if name[-1] == "0" or name in kept)}
    again = world.worker(shards=[shard], identity=marking.SECOND)
    again.follows()
    assert set(world.etcd.values(world.root)) == {path.encode() for path in left}
    assert again.full_sync().conflicts == 0
    polling.until(lambda: marking.marks(world, shard) == left)
