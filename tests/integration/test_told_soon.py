"""What somebody may wait for is told when it comes about, and not only with the next report."""

from __future__ import annotations

import pytest

from tests.integration import mirroring
from zk2etcd_workers.model import news


def test_a_base_a_full_sync_a_pause_and_a_trip_are_told_at_once(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EVERY", "_QUIET"):
        monkeypatch.setattr(news, name, 600.0)
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
