"""When a following shard counts as fresh."""

from __future__ import annotations

import types
from typing import Any, cast

import pytest

from zk2etcd_workers.model import mapping
from zk2etcd_workers.shard import context, dirty_paths, facts, freshness


class _Shard:
    """Of which at most three paths may be dirty; etcd is not asked."""

    def __init__(self) -> None:
        self.dirty = dirty_paths.Dirty(mapping.Mapping("/s", "/s"), 3, lambda: None)
        ctx = cast(context.Context, types.SimpleNamespace(dry_run=True))
        self.facts = facts.Facts()
        self.fresh = freshness.Freshness(ctx, self.facts, self.dirty)
        self.busy: dict[bytes, int] = {}

    def look(self) -> float | None:
        self.fresh.look(self.busy)
        return self.facts.synced_at


@pytest.fixture
def shard() -> _Shard:
    return _Shard()


def test_a_quiet_shard_is_fresh_at_once(shard: _Shard) -> None:
    assert shard.look() is None
    shard.fresh.round_synced(1.0)
    assert shard.facts.synced_at == 1.0


def test_what_was_dirty_or_busy_at_the_answer_has_to_be_written(shard: _Shard) -> None:
    shard.look()
    shard.dirty.mark(b"/s/a")
    shard.fresh.round_synced(1.0)
    assert shard.look() is None
    shard.busy = cast(Any, shard.dirty.take(1))
    assert shard.look() is None
    shard.busy = {}
    assert shard.look() == 1.0


def test_what_ran_over_is_not_written(shard: _Shard) -> None:
    """The queue is empty then, since all of it was dropped."""
    shard.look()
    for number in range(5):
        shard.dirty.mark(b"/s/%d" % number)
    assert len(shard.dirty) == 0
    shard.fresh.round_synced(1.0)
    assert shard.look() is None
