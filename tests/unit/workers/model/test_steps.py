"""What a worker stops and starts, as values: no mirror, no server, no thread."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, strategies as st

from tests.unit import settings
from zk2etcd import messages
from zk2etcd.config import mirroring, models
from zk2etcd_workers.model import steps

CONFIG = settings.configured()
A, B, C = (messages.Shard(name, f"/{name}", f"/{name}") for name in "abc")
SHARDS = st.lists(st.sampled_from([A, B, C]), unique=True)


def target(*shards: messages.Shard, config: models.Config = CONFIG) -> messages.Assign:
    return messages.Assign(1, shards, {}, config)


def running(*shards: messages.Shard, stopping: bool = False) -> dict[str, steps.Running]:
    return {shard.id: steps.Running(shard, CONFIG.sync, stopping) for shard in shards}


def with_sync(**changed: object) -> models.Config:
    sync = CONFIG.sync.model_copy(update=changed)
    return CONFIG.model_copy(update={"sync": sync})


def test_at_first_all_is_started() -> None:
    assert steps.steps(target(A, B), {}, connected=False) == ((), [A, B])


def test_what_runs_as_it_is_wanted_is_left_alone() -> None:
    assert steps.steps(target(A, B), running(A), connected=True) == ((), [B])


def test_nothing_is_started_before_what_was_told_to_stop_has_let_go() -> None:
    assert steps.steps(target(B), running(A), connected=True) == (["a"], None)
    told = running(A, stopping=True)
    assert steps.steps(target(B), told, connected=True) == (["a"], None)
    assert steps.steps(target(B), {}, connected=True) == ((), [B])


def test_one_that_is_wanted_again_while_it_stops_is_started_anew_after_that() -> None:
    assert steps.steps(target(A, B), running(A, stopping=True), connected=True) == ([], None)


def test_a_shard_that_is_another_under_the_same_id_is_stopped() -> None:
    excluding = dataclasses.replace(A, exclude=("/a/x",))
    assert steps.steps(target(excluding), running(A), connected=True) == (["a"], None)


def test_other_connections_stop_all() -> None:
    assert steps.steps(target(A, B), running(A, B), connected=False) == (["a", "b"], None)


@pytest.mark.parametrize(
    "changed",
    [
        {"ephemeral": "skip"},
        {"ephemeral_grace": 5.0},
        {"delete_guard": mirroring.DeleteGuard(live=mirroring.LiveGuard())},
        {"deletes": "never"},
        {"drift": "watch"},
        {"delete_guard": CONFIG.sync.delete_guard.model_copy(update={"max_deletes": 7})},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_setting_that_a_mirror_keeps_to_stops_it(changed: dict[str, object]) -> None:
    wanted = target(A, config=with_sync(**changed))
    assert steps.steps(wanted, running(A), connected=True) == (["a"], None)


def test_other_settings_do_not() -> None:
    wanted = target(A, config=with_sync(exclude=("/z",)))
    assert steps.steps(wanted, running(A), connected=True) == ((), [])


@given(SHARDS, SHARDS, st.booleans())
def test_it_comes_to_rest_with_what_is_wanted(
    wanted: list[messages.Shard], first: list[messages.Shard], connected: bool
) -> None:
    there = running(*first)
    stop, start = steps.steps(target(*wanted), there, connected=connected)
    if start is None:
        assert stop
        there = {name: each for name, each in there.items() if name not in stop}
        stop, start = steps.steps(target(*wanted), there, connected=True)
    assert not stop
    assert start is not None
    there |= running(*start)
    assert there.keys() == {shard.id for shard in wanted}
    assert steps.steps(target(*wanted), there, connected=True) == ((), [])
