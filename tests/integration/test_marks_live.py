"""The live guard, where others have keys too: only what is ours is a loss."""

from __future__ import annotations

import pytest

from tests import polling
from tests.integration import marking, mirroring
from zk2etcd import messages
from zk2etcd_workers.mirror import full_sync
from zk2etcd_workers.safety import live

GUARDED = {"delete_guard": {"live": {"min_deletes": 5, "max_ratio": 0.3}}}
NAMES = [f"i{number:03d}" for number in range(40)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done each second, or after one, is done sooner."""
    monkeypatch.setattr(live, "_TOLD_EVERY", 0.1)
    monkeypatch.setattr(full_sync, "_SETTLE", 0.1)


@pytest.fixture
def shard(world: mirroring.World) -> messages.Shard:
    return marking.marked(world.root, world.root)


def _gone(world: mirroring.World, names: list[str]) -> None:
    for each in [world.zk.delete_async(world.path(name)) for name in names]:
        each.get(20)


def test_nodes_whose_keys_are_others_are_no_loss(
    world: mirroring.World, shard: messages.Shard
) -> None:
    marking.grown(world, [*NAMES, *(f"kept{number}" for number in range(9))])
    world.etcd.put_many([(world.path(name), b"theirs") for name in NAMES])
    worker = world.worker(shards=[shard], sync=GUARDED)
    worker.follows()
    worker.wait(lambda report: report.conflicts == 40)
    _gone(world, NAMES)
    worker.wait(lambda report: report.conflicts == 0 and report.pending == 0)
    _gone(world, ["kept0", "kept1"])
    polling.until(lambda: world.etcd.value(world.path("kept1")) is None)
    report = worker.wait(lambda report: report.pending == 0)
    assert report.guard is None
    assert world.etcd.count(world.root) == 40 + 7


def test_the_share_is_of_what_is_ours(world: mirroring.World, shard: messages.Shard) -> None:
    """Of 41 keys 12 may go, however many nodes have keys that are others'."""
    others = [f"o{number:03d}" for number in range(100)]
    marking.grown(world, [*NAMES, *others])
    world.etcd.put_many([(world.path(name), b"theirs") for name in others])
    worker = world.worker(shards=[shard], sync=GUARDED)
    report = worker.follows()
    assert (report.keys, report.conflicts) == (41, 100)
    assert worker.full_sync().keys == 41
    _gone(world, NAMES[:20])
    report = worker.wait(
        lambda each: each.guard is not None and each.guard.deletes == 20 - 12,
        what="that all is told that is held",
    )
    assert report.guard is not None
    assert report.guard.present == 41


def test_what_is_ours_is_held(world: mirroring.World, shard: messages.Shard) -> None:
    """As many as without marks, and as they were counted: each delete is of two keys."""
    marking.grown(world, NAMES)
    world.etcd.put_many([(world.path(f"theirs{number}"), b"x") for number in range(100)])
    worker = world.worker(shards=[shard], sync=GUARDED)
    worker.follows()
    _gone(world, NAMES)
    report = worker.wait(
        lambda each: each.guard is not None and each.guard.deletes == 40 - 12,
        what="that all is told that is held",
    )
    assert report.guard is not None
    assert (report.guard.live, report.guard.present) == (True, 41)
    assert len(marking.marks(world, shard)) == 29
    worker.full_sync()
    report = worker.wait(lambda each: each.guard is not None)
    assert report.guard is not None
    worker.release(report.guard.id)
    polling.until(lambda: marking.marks(world, shard) == {world.root})
    assert world.etcd.count(world.root) == 100
