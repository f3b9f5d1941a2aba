from __future__ import annotations

import random

import pytest

from zk2etcd.config import mirroring
from zk2etcd_workers.model import tree, turnover
from zk2etcd_workers.model.live import window

LIMITS = mirroring.LiveGuard(window=60.0, min_deletes=10, max_ratio=0.3)


def _node(path: bytes, czxid: int = 100) -> tree.Node:
    return tree.Node(path, b"", czxid, czxid, 0, 7, 0)


def _window(present: int = 100, limits: mirroring.LiveGuard = LIMITS) -> window.Window:
    return window.Window(limits, present, 50, 0.0)


def _paths(first: int, count: int, place: bytes = b"/s/providers") -> list[bytes]:
    return [place + b"/10.0.0.%d" % number for number in range(first, first + count)]


def _trips_at(made: window.Window, paths: list[bytes], now: float = 1.0) -> int | None:
    """With which of them it does."""
    for number, path in enumerate(paths, 1):
        made.goes(path, now)
        if made.loss() is not None:
            return number
    return None


@pytest.mark.parametrize(
    ("present", "trips_at"), [(100, 31), (20, 11), (1000, None), (0, 11), (133, 40)]
)
def test_the_one_that_is_too_many_trips(present: int, trips_at: int | None) -> None:
    assert _trips_at(_window(present), _paths(0, 100)) == trips_at


def test_what_is_said() -> None:
    made = _window()
    for path in _paths(0, 31):
        made.goes(path, 1.0)
    found = made.loss()
    assert found is not None
    assert (found.lost, found.present, found.creates) == (31, 100, 0)
    assert found.reason == (
        "live deletes of 31% of the keys within 1m 0s (delete_guard.live.max_ratio 30%)"
    )


def test_a_rollout_is_no_loss_whatever_comes_first() -> None:
    made = _window()
    for old, new in zip(_paths(0, 90), _paths(100, 90), strict=True):
        made.goes(old, 1.0)
        made.comes(_node(new), 1.0)
        assert made.loss() is None
    made = _window()
    for old, new in zip(_paths(0, 90), _paths(100, 90), strict=True):
        made.comes(_node(new), 1.0)
        made.goes(old, 1.0)
        assert made.loss() is None


def test_what_came_elsewhere_excuses_nothing_and_is_told_where_it_came_beside() -> None:
    made = _window()
    for path in _paths(0, 50, b"/other/providers"):
        made.comes(_node(path), 1.0)
    made.comes(_node(b"/s/providers/new"), 1.0)
    assert _trips_at(made, _paths(0, 50)) == 32
    found = made.loss()
    assert found is not None
    assert found.creates == 1
    assert "with none in their place" in found.reason


def test_one_that_is_back_was_not_lost() -> None:
    made = _window()
    paths = _paths(0, 30)
    assert _trips_at(made, paths) is None
    for path in paths:
        made.comes(_node(path), 2.0)
    assert _trips_at(made, _paths(50, 30), 3.0) is None


def test_a_node_that_was_there_before_is_no_replacement() -> None:
    made = _window()
    for path in _paths(100, 50):
        made.comes(_node(path, czxid=10), 1.0)  # it was set
    assert _trips_at(made, _paths(0, 50)) == 31


def test_the_window_moves_on() -> None:
    made = _window()
    assert _trips_at(made, _paths(0, 30), 1.0) is None
    made.look(62.0, 70, 200)
    assert _trips_at(made, _paths(30, 21), 62.0) is None
    made.look(62.5, 49, 201)
    assert _trips_at(made, _paths(60, 20), 63.0) == 10  # of 100, within it


def test_what_went_before_a_long_sleep_counts_no_more() -> None:
    made = _window()
    assert _trips_at(made, _paths(0, 30), 1.0) is None
    assert _trips_at(made, _paths(30, 30), 100.0) is None


def test_a_create_that_is_too_old_excuses_no_delete_any_more() -> None:
    made = _window()
    for path in _paths(100, 40):
        made.comes(_node(path), 0.0)
    assert _trips_at(made, _paths(0, 40), 55.0) is None
    made.look(61.0, 100, 200)
    made.goes(b"/s/providers/one-more", 61.0)
    found = made.loss()
    assert found is not None
    assert found.lost == 41


def test_instances_with_nodes_of_their_own_are_replaced_as_trees() -> None:
    made = _window()
    for number in range(30):
        for name in (b"/health", b"/meta", b""):
            made.goes(b"/i/a%d" % number + name, 1.0)
            made.comes(_node(b"/i/b%d" % number + name), 1.0)
            assert made.loss() is None


def test_what_is_replaced_in_part_is_not_counted_too_late() -> None:
    """Each instance that goes beside trees takes a share of them along."""
    made = _window(400)
    for number in range(40):
        for name in (b"/health", b"/meta", b""):
            made.goes(b"/i/a%d" % number + name, 1.0)
            made.comes(_node(b"/i/b%d" % number + name), 1.0)
    tripped_at = _trips_at(made, _paths(0, 200, b"/i"))
    went = {b"/i/a%d" % n + name: 1.0 for n in range(40) for name in (b"/health", b"/meta", b"")}
    came = {path.replace(b"/a", b"/b"): 1.0 for path in went}
    losses = []
    for path in _paths(0, 200, b"/i"):
        went[path] = 1.0
        losses.append(len(went) - turnover.replaced(_side(went), _side(came)))
    assert tripped_at == 1 + next(at for at, lost in enumerate(losses) if lost > 120)


@pytest.mark.parametrize("seed", range(8))
def test_it_trips_exactly_when_a_plain_count_would(seed: int) -> None:
    """The loss is counted only when it may be too large; that misses nothing."""
    rng = random.Random(seed)
    made, now = _window(40), 0.0
    went: dict[bytes, float] = {}
    came: dict[bytes, float] = {}
    for _ in range(400):
        now += rng.random() * 3
        made.look(now, 40, 50)
        path = rng.choice(_paths(0, 30, rng.choice([b"/a", b"/b"])))
        went = {each: at for each, at in went.items() if at >= now - 60}
        came = {each: at for each, at in came.items() if at >= now - 60}
        if rng.random() < 0.6:
            made.goes(path, now)
            if came.pop(path, None) is None:
                went[path] = now
        else:
            made.comes(_node(path), now)
            if went.pop(path, None) is None:
                came.setdefault(path, now)
        lost = len(went) - turnover.replaced(_side(went), _side(came))
        assert (made.loss() is not None) == (lost > 12)


def _side(paths: dict[bytes, float]) -> turnover.Side:
    side = turnover.Side()
    for path in sorted(paths):
        side.saw(path)
    return side


def test_what_is_taken_back_counts_as_if_it_had_not_been() -> None:
    made = _window()
    assert _trips_at(made, _paths(0, 30)) is None
    for path in _paths(100, 50):
        assert made.goes(path, 1.0) is None
        assert made.loss() is not None
        made.undo(path)
        assert made.loss() is None
    new = _paths(200, 1)[0]
    made.comes(_node(new), 1.0)
    assert made.goes(new, 2.0) == 1.0
    made.undo(new, 1.0)
    assert _trips_at(made, _paths(30, 10), 3.0) == 2
