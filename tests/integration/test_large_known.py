"""What a worker has seen of large values goes into its next base, which reads few at once then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration import mirroring
from zk2etcd_workers.model import pacing
from zk2etcd_workers.shard import context


def test_a_base_knows_of_a_large_value_and_trusts_small_ones_no_more_than_before(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    known: list[int | None] = []
    walk = context.Context.walk

    def told(ctx: context.Context, largest: int | None = None, *more: Any, **others: Any) -> Any:
        known.append(largest)
        return walk(ctx, largest, *more, **others)

    monkeypatch.setattr(context.Context, "walk", told)
    world.zk.create(world.root, b"small")
    worker = world.worker()
    worker.follows()

    def based() -> int | None:
        """What the base after a pause is told."""
        worker.pause()
        worker.wait(lambda each: each.phase == "paused", what="paused")
        count = len(known)
        worker.resume()
        worker.wait(lambda each: each.phase == "following", what="resumed")
        return known[count]

    assert based() is None
    large = b"x" * (pacing.KNOWN_SMALL + 1)
    world.zk.create(world.path("large"), large)
    world.equal()
    worker.full_sync()
    assert based() == len(large)
