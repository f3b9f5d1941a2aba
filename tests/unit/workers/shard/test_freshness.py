"""Up to which zxid everything is known to be in etcd."""

from __future__ import annotations

import types
from typing import Any, cast

import pytest

from zk2etcd import errors
from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.shard import context, dirty_paths, facts, freshness


class _Shard:
    def __init__(self) -> None:
        self.dirty = dirty_paths.Dirty(mapping.Mapping("/s", "/s"), 3, lambda: None)
        log = types.SimpleNamespace(warning=lambda *_, **__: None)
        parts = {"dry_run": False, "root": b"/s", "trace_id": "", "log": log}
        ctx = cast(context.Context, types.SimpleNamespace(**parts))
        self.fresh = freshness.Freshness(ctx, facts.Facts(), self.dirty)
        self.busy: dict[bytes, int] = {}

    def look(self) -> int:
        self.fresh.look(self.busy)
        return self.fresh.clean


@pytest.fixture
def shard() -> _Shard:
    return _Shard()


def test_nothing_is_clean_before_a_sync(shard: _Shard) -> None:
    assert shard.look() == 0


def test_a_quiet_shard_is_clean_at_once(shard: _Shard) -> None:
    shard.look()
    shard.fresh.round_synced(1.0, 70)
    assert shard.fresh.clean == 70
    shard.fresh.round_synced(2.0, 0)
    assert shard.fresh.clean == 70


def test_what_was_dirty_or_busy_at_the_answer_has_to_be_written(shard: _Shard) -> None:
    shard.look()
    shard.dirty.mark(b"/s/a")
    shard.fresh.round_synced(1.0, 70)
    assert shard.look() == 0
    shard.busy = cast(Any, shard.dirty.take(1))
    assert shard.look() == 0
    shard.busy = {}
    assert shard.look() == 70


def test_a_later_answer_takes_the_place_of_one_that_still_waits(shard: _Shard) -> None:
    shard.look()
    shard.dirty.mark(b"/s/a")
    shard.fresh.round_synced(1.0, 70)
    shard.dirty.take(1)
    shard.dirty.mark(b"/s/b")
    shard.fresh.round_synced(2.0, 0)
    shard.dirty.take(1)
    assert shard.look() == 0
    shard.fresh.round_synced(3.0, 90)
    assert shard.fresh.clean == 90


def test_what_ran_over_is_not_written(shard: _Shard) -> None:
    shard.look()
    for number in range(5):
        shard.dirty.mark(b"/s/%d" % number)
    assert len(shard.dirty) == 0
    shard.fresh.round_synced(1.0, 70)
    assert shard.look() == 0


def test_who_was_blind_was_not_told_of_everything(shard: _Shard) -> None:
    shard.look()
    shard.fresh.round_synced(1.0, 70)
    shard.fresh.root_is(tree.Miss.NO_AUTH)
    assert shard.fresh.clean == 0
    # The other thread asked before it knew.
    shard.fresh.round_synced(2.0, 80)
    assert shard.look() == 0
    with pytest.raises(errors.SessionDoubt):
        shard.fresh.root_is(tree.Miss.NO_NODE)
    assert shard.fresh.clean == 0
