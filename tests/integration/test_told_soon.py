"""What somebody may wait for is told when it comes about, and not only with the next report."""

from __future__ import annotations

import time

import pytest

from tests.integration import mirroring
from zk2etcd_workers.model import news
from zk2etcd_workers.rounds import seat


@pytest.fixture(autouse=True)
def _nothing_but_what_is_told_at_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    request.getfixturevalue("world")  # It sets a pace of its own.
    for name in ("EVERY", "_QUIET"):
        monkeypatch.setattr(news, name, 600.0)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """How fresh a shard is turns out late."""
    at_once = seat.Seat.is_synced

    def is_synced(self: seat.Seat, sent: float, zxid: int, *, denied: bool) -> None:
        time.sleep(0.7)
        at_once(self, sent, zxid, denied=denied)

    monkeypatch.setattr(seat.Seat, "is_synced", is_synced)


def test_a_base_a_full_sync_a_pause_and_a_trip_are_told_at_once(
    world: mirroring.World,
) -> None:
    world.zk.create(world.root, b"")
    for number in range(20):
        world.zk.create(world.path(f"n{number}"), b"v")
    worker = world.worker(sync={"delete_guard": {"min_deletes": 1, "max_ratio": 0.1}})
    worker.follows()
    worker.full_sync()
    worker.pause()
    worker.wait(lambda each: each.phase == "paused", what="paused")
    for number in range(20):
        world.zk.delete(world.path(f"n{number}"))
    worker.resume()
    assert worker.trip().kind == "deletes"


@pytest.mark.usefixtures("late")
@pytest.mark.parametrize("made_late", [False, True])
def test_that_it_follows_is_told_with_how_fresh_it_is(
    world: mirroring.World, made_late: bool
) -> None:
    world.zk.create(world.root, b"")
    worker = world.worker(sync={"drift": "watch"})
    if made_late:
        world.zk.create(world.path("n"), b"v")
    report = worker.wait(lambda each: each.synced_at is not None, what="how fresh it is")
    assert report.phase == "following"
    assert report.drift is not None


@pytest.mark.usefixtures("late")
def test_how_fresh_a_dry_run_is_is_told(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    worker = world.worker(dry_run=True)
    assert worker.wait(lambda each: each.synced_at is not None).phase == "following"


def test_a_run_that_ends_there_is_told_at_once(world: mirroring.World) -> None:
    world.zk.create(world.root, b"")
    assert world.worker(dry_run=True, once=True).follows().synced_at is None
