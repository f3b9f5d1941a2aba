"""Alive and ready, in each state."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.unit import views
from zk2etcd.view import health, published


def ready(view: published.View, *exclude: str) -> bool:
    return all(check.good for check in health.ready(view, exclude))


def with_shard(state: str = "degraded", **changes: Any) -> published.View:
    return views.view(state=state, shards=(views.shard("good"), views.shard("bad", **changes)))


@pytest.mark.parametrize(("age", "alive"), [(0.0, True), (10.0, True), (10.1, False)])
def test_alive_while_the_loop_turns(age: float, alive: bool) -> None:
    assert health.live(views.view(last_turn_age=age)).good is alive
    assert ready(views.view(last_turn_age=age)) is alive


@pytest.mark.parametrize(
    ("state", "expected"),
    [("ready", True), ("standby", True), ("degraded", True), ("starting", False),
     ("stopping", False)],
)  # fmt: skip
def test_ready_by_state(state: str, expected: bool) -> None:
    assert ready(views.view(state=state)) is expected


def test_an_owned_shard_in_trouble_is_not_ready() -> None:
    failed = with_shard(phase="error", error="no etcd")
    assert not ready(failed)
    assert not ready(failed, "guarded")
    assert ready(failed, "error")
    # Between two attempts it is in other phases, for moments; it is no better for that.
    assert not ready(with_shard(phase="full_sync", error="no space left"))
    assert "no etcd" in health.ready(failed)[-1].detail
    guarded = with_shard(guard=views.GUARD)
    assert not ready(guarded)
    assert ready(guarded, "guarded")
    detail = health.ready(guarded)[-1].detail
    assert views.GUARD.reason in detail
    assert "zk2etcd release bad" in detail
    assert not ready(with_shard(phase="guarded"))


def unserved(seconds: float, **changes: Any) -> published.View:
    shard = views.shard("bad", owned=False, **changes)
    return views.view(shards=(dataclasses.replace(shard, unserved_seconds=seconds),))


def test_a_shard_that_waits_for_its_owner_is_ready() -> None:
    assert ready(with_shard(phase="waiting", owned=False, holder="other/w0.1"))


def test_a_shard_that_cannot_be_had_is_not_ready() -> None:
    """With etcd away nobody's token is known, so none is owned."""
    assert not ready(with_shard(phase="error", owned=False, error="no etcd"))
    assert not ready(unserved(0.1, phase="error", error="no etcd"))


@pytest.mark.parametrize(("seconds", "expected"), [(0.0, True), (2.9, True), (3.0, False)])
def test_a_worker_that_is_restarted_is_no_outage_for_a_while(
    seconds: float, expected: bool
) -> None:
    gone = unserved(seconds, phase="error", error="worker w0 ended", orphaned=True)
    assert ready(gone) is expected
    assert ready(unserved(seconds, phase="waiting")) is expected
    assert ready(gone, "error")
    assert ready(unserved(seconds, phase="waiting"), "error")


def test_unsyncable_paths_do_not_make_it_unready() -> None:
    assert ready(with_shard(unsyncable_total=3))
