"""Marks that somebody else deletes, an etcd that is put back, a pause, and whoever is adopted
meanwhile: what is not certainly ours is left alone, and told.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tests import polling, proxy
from tests.integration import commands, marking, mirroring
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers.drift import ours, ranges
from zk2etcd_workers.mirror import repair
from zk2etcd_workers.walk import beside, marked as marked_reader


@pytest.fixture
def shard(world: mirroring.World) -> messages.Shard:
    return marking.marked(world.root, world.root)


def test_a_key_that_has_lost_its_mark_is_nobody_s(
    world: mirroring.World, shard: messages.Shard, adopt: commands.Command
) -> None:
    marking.grown(world, ["a", "b", "c", "d"])
    worker = world.worker(shards=[shard])
    worker.follows()
    base = marking.base(world, shard)
    for name in ("a", "b", "c"):
        world.etcd.delete(base + world.path(name))
    world.zk.set(world.path("a"), b"new")
    report = worker.wait(lambda r: r.conflicts == 1)
    assert report.conflict_paths == (world.path("a"),)
    world.zk.delete(world.path("b"))
    worker.full_sync()
    report = worker.wait(lambda r: r.conflicts == 2)
    assert set(report.conflict_paths) == {world.path("a"), world.path("c")}
    values = world.etcd.values(world.root)
    assert {values[world.path(name).encode()] for name in "abcd"} == {b"ours"}
    assert "1 of 1 keys marked" in adopt("--yes").out, "c alone is equal"
    worker.full_sync()
    worker.wait(lambda r: r.conflict_paths == (world.path("a"),))
    world.zk.set(world.path("c"), b"newer")
    polling.until(lambda: world.etcd.value(world.path("c")) == b"newer")
    assert world.etcd.value(world.path("a")) == world.etcd.value(world.path("b")) == b"ours"


def test_all_that_we_keep_is_gone(
    world: mirroring.World, shard: messages.Shard, adopt: commands.Command
) -> None:
    """Somebody deletes everything below `state.prefix`, while it runs."""
    names = [f"n{number:03d}" for number in range(150)]
    marking.grown(world, names)
    world.etcd.put(world.path("theirs"), b"x")
    worker = world.worker(shards=[shard])
    worker.follows()
    before = world.etcd.below(world.root)
    world.etcd.delete_below(world.state)
    for name in names[:120]:
        world.zk.delete(world.path(name))
    world.zk.set(world.path("n149"), b"new")
    worker.wait(lambda r: r.phase == "following" and r.conflicts == 31, 30)
    assert world.etcd.below(world.root) == before
    assert json.loads(world.etcd.value(f"{world.state}/format") or b"")["min_reader"] == 2
    assert "30 of 30 keys marked" in adopt("--yes").out
    worker.full_sync()
    worker.wait(lambda r: r.conflict_paths == (world.path("n149"),))
    assert len(world.etcd.below(world.root)) == len(before)


def test_format_alone_is_gone(world: mirroring.World, shard: messages.Shard) -> None:
    """What keeps older releases away: it comes back as it was, whoever puts it first."""
    marking.grown(world, ["a"])
    worker = world.worker(shards=[shard])
    worker.follows()
    world.etcd.delete(f"{world.state}/format")
    worker.drain()
    worker = world.worker(shards=[shard], identity=marking.SECOND)
    worker.follows()
    assert json.loads(world.etcd.value(f"{world.state}/format") or b"")["min_reader"] == 2


def test_what_somebody_did_while_it_was_paused(
    world: mirroring.World, shard: messages.Shard
) -> None:
    marking.grown(world, [f"n{number:02d}" for number in range(12)])
    world.etcd.put(world.path("n00"), b"theirs")
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.pause()
    worker.wait(lambda r: r.phase == "paused")
    etcd, zk = world.etcd, world.zk
    etcd.delete(world.path("n00"))  # let go
    etcd.delete(world.path("n01"))  # ours, deleted
    etcd.delete(world.path("n02"))  # ours, taken
    etcd.put(world.path("n02"), b"theirs")
    etcd.put(world.path("n03"), b"tampered")
    etcd.put(world.path("new"), b"theirs")  # before ours
    zk.create(world.path("new"), b"ours")
    zk.create(world.path("new2"), b"ours")
    zk.delete(world.path("n04"))  # ours goes
    zk.delete(world.path("n05"))
    etcd.delete(world.path("n05"))  # and so goes a stranger's?
    etcd.put(world.path("n05"), b"theirs")
    etcd.delete(marking.base(world, shard) + world.path("n06"))
    zk.set(world.path("n06"), b"new")
    zk.set(world.path("n07"), b"new")
    before = world.etcd.below(world.root)
    worker.wait(lambda r: r.phase == "paused")
    assert world.etcd.below(world.root) == before
    worker.resume()
    worker.wait(lambda r: r.phase == "following")
    report = worker.wait(lambda r: r.conflicts == 3)
    assert set(report.conflict_paths) == {world.path(name) for name in ("n02", "new", "n06")}
    values = {key.decode(): value for key, value in world.etcd.values(world.root).items()}
    theirs = {world.path(name): b"theirs" for name in ("n02", "n05", "new")}
    ours = [f"n{number:02d}" for number in (0, 1, 3, 8, 9, 10, 11)]
    assert values == {
        world.root: b"",
        **theirs,
        **{world.path(name): b"ours" for name in [*ours, "n06", "new2"]},
        world.path("n07"): b"new",
    }
    worker.full_sync()
    owned = {world.root, *map(world.path, [*ours, "n07", "new2"])}
    assert marking.marks(world, shard) == owned
    for name in ("n02", "new", "n06"):
        etcd.delete(world.path(name))
    worker.full_sync()
    worker.wait(lambda r: r.conflicts == 0)
    assert world.etcd.value(world.path("n06")) == b"new"


def test_what_was_adopted_is_watched_too(
    world: mirroring.World, shard: messages.Shard, adopt: commands.Command
) -> None:
    """With `sync.drift: watch`, from the full sync on that knows of it."""
    marking.grown(world, ["a", "b"])
    world.etcd.put(world.path("a"), b"ours")
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None and r.conflicts == 1)
    assert "1 of 1 keys marked" in adopt("--yes").out
    worker.full_sync()
    worker.wait(lambda r: r.conflicts == 0)
    world.etcd.put(world.path("a"), b"tampered")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"ours", 5)
    world.etcd.delete(world.path("a"))
    polling.until(lambda: world.etcd.value(world.path("a")) == b"ours", 5)


def test_what_changes_hands_while_a_walk_reads(
    world: mirroring.World, shard: messages.Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk sees etcd as that was when it began. What is told live meanwhile is newer."""
    marking.grown(world, ["a", "b", "c"])
    for name in "bc":
        world.etcd.put(world.path(name), b"theirs")
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None and r.conflicts == 2)

    def ours(name: str) -> None:
        world.etcd.delete(world.path(name))
        polling.until(lambda: world.etcd.value(world.path(name)) == b"ours", 5)
        worker.wait(lambda r: world.path(name) not in r.conflict_paths)

    def theirs(name: str) -> None:
        world.etcd.take(world.path(name), b"theirs")
        worker.wait(lambda r: world.path(name) in r.conflict_paths)

    made, compared = marked_reader.Reader.__init__, beside.differences

    def late(self: marked_reader.Reader, *given: Any, **named: Any) -> None:
        ours("c")  # Known to the walk, and not seen by it.
        made(self, *given, **named)

    def later(*given: Any) -> Any:
        theirs("c")
        ours("b")
        return compared(*given)

    monkeypatch.setattr(marked_reader.Reader, "__init__", late)
    monkeypatch.setattr(beside, "differences", later)
    worker.full_sync()
    report = worker.wait(lambda r: r.conflicts == 1)
    assert report.conflict_paths == (world.path("c"),)
    monkeypatch.undo()
    assert worker.full_sync().conflict_paths == (world.path("c"),)


def test_what_others_let_go_of_at_once_is_no_repair(
    world: mirroring.World, shard: messages.Shard
) -> None:
    marking.grown(world, ["a", "b", "c", "d"])
    for name in "abc":
        world.etcd.put(world.path(name), b"theirs")
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None and r.conflicts == 3)
    for name in "abc":
        world.etcd.delete(world.path(name))
    polling.until(lambda: set(world.etcd.values(world.root).values()) == {b"", b"ours"}, 3)
    worker.wait(lambda r: r.conflicts == 0)
    assert worker.counts.drifts == 0
    world.etcd.put(world.path("d"), b"tampered")
    polling.until(lambda: worker.counts.drifts == 1)


def test_what_others_let_go_of_in_the_moment_in_which_it_is_met(
    world: mirroring.World, shard: messages.Shard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their delete is told before it is known that they are in the way: between the look at etcd
    that found it, and the one at ZooKeeper."""
    marking.grown(world, ["a"])
    worker = world.worker(shards=[shard], sync={"drift": "watch"})
    worker.follows()
    worker.wait(lambda r: r.drift is not None and r.drift.why is None)
    key, heard = world.path("a").encode(), list[bytes]()
    told, read = ranges.Seat.strange, repair.Repairs.read

    def hears(self: ranges.Seat, change: ours.Change) -> None:
        told(self, change)
        heard.extend(change.gone)

    done: list[bytes] = []

    def late(self: repair.Repairs, reply: Any) -> None:
        if reply.tag.theirs and not done:
            done.extend(reply.tag.theirs)
            before = len(heard)
            world.etcd.delete(key)
            polling.until(lambda: len(heard) > before)
        read(self, reply)

    monkeypatch.setattr(ranges.Seat, "strange", hears)
    monkeypatch.setattr(repair.Repairs, "read", late)
    world.etcd.take(key, b"theirs")
    polling.until(lambda: done, what="it was met")
    polling.until(lambda: world.etcd.value(key) == b"ours", 3)
    worker.wait(lambda r: r.conflicts == 0)


def test_what_others_let_go_of_is_no_repair(world: mirroring.World, shard: messages.Shard) -> None:
    """Nothing was missed, and nobody wrote what they should not: no alert is due."""
    marking.grown(world, ["a", "b", "c"])
    world.etcd.put(world.path("a"), b"theirs")
    worker = world.worker(shards=[shard])
    worker.follows()
    world.etcd.delete(world.path("a"))
    report = worker.full_sync()
    assert report.last_full_sync is not None
    assert report.last_full_sync.put == 1
    assert worker.counts.fixes == {"put": 0, "delete": 0}
    world.etcd.delete(world.path("b"))
    worker.full_sync()
    assert worker.counts.fixes == {"put": 1, "delete": 0}


def test_etcd_is_put_back_to_a_snapshot(
    fresh_world: mirroring.World, fresh_etcd: servers.Etcd, tmp_path: pathlib.Path
) -> None:
    """Revisions come a second time: a stranger's key has the one at which ours was created, in what
    etcd has lost. Ours is what a mark says that was put back with it."""
    world, shard = fresh_world, marking.marked("/own", "/own")
    etcd, zk = world.etcd, world.zk
    marking.grown(world, ["a", "b", "c", "d"])
    with proxy.Proxy(world.etcd_address) as way:
        worker = world.worker(shards=[shard], etcd={"endpoints": [f"http://{way.address}"]})
        worker.follows()
        fresh_etcd.save(tmp_path / "snapshot")
        zk.create(world.path("late"), b"ours")
        polling.until(lambda: etcd.get(world.path("late")) is not None)
        created = etcd.get(world.path("late"))
        assert created is not None
        etcd.delete(world.path("a"))
        etcd.put(world.path("a"), b"theirs")
        zk.delete(world.path("b"))
        zk.set(world.path("c"), b"new")
        polling.until(lambda: etcd.value(world.path("b")) is None)
        polling.until(lambda: etcd.value(world.path("c")) == b"new")
        way.hold("both")
        fresh_etcd.stop()
        fresh_etcd.restore(tmp_path / "snapshot")
        fresh_etcd.start()
        while etcd.revision() < created.create_revision - 1:
            etcd.put("outside", b"x")
        etcd.put(world.path("late"), b"theirs")
        again = etcd.get(world.path("late"))
        assert again is not None
        assert again.create_revision == created.create_revision
        way.cut()
        way.release("both")
        zk.set(world.path("late"), b"newer")
        worker.wait(lambda r: r.conflict_paths == (world.path("late"),), 40)
        polling.until(lambda: etcd.value(world.path("c")) == b"new", 40)
        worker.full_sync(40)
    values = {key.decode(): value for key, value in etcd.values(world.root).items()}
    assert values == {
        world.root: b"",
        world.path("a"): b"ours",
        world.path("c"): b"new",
        world.path("d"): b"ours",
        world.path("late"): b"theirs",
    }
    assert marking.marks(world, shard) == values.keys() - {world.path("late")}
