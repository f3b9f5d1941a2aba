"""What the delete guard makes of a registry in which everything registers anew."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed

_numbers = itertools.count(1)


class Away:
    """A prefix that was mirrored; its mirror is stopped while it changes."""

    def __init__(self, mirrors: conftest.Mirrors) -> None:
        self.root = f"/rollout{next(_numbers)}"
        self.sides: both_sides.Sides = mirrors.sides
        self._mirrors = mirrors
        self._started: installed.Supervisor | None = None

    def mirrored(self, paths: Iterable[str], **guard: object) -> None:
        """Make these, mirror them, and stop."""
        for path in paths:
            self.sides.zk.ensure_path(f"{self.root}/{path}")
        self._started = self._mirrors.following(
            self.root, nodes=0, sync={"delete_guard": guard}, workers={"count": 1}
        )
        self.sides.wait_equal(self.root)
        self._started.stop()

    def change(self, gone: Iterable[str], new: Iterable[str]) -> None:
        for path in gone:
            self.sides.zk.delete(f"{self.root}/{path}", recursive=True)
        for path in new:
            self.sides.zk.ensure_path(f"{self.root}/{path}")

    def back(self) -> installed.Document:
        """The shard, once the mirror is back, and follows or is held."""
        supervisor = self._started
        assert supervisor is not None
        supervisor.start()

        def judged() -> installed.Document | None:
            shard = supervisor.shards().get(self.root, {})
            return shard if shard.get("phase") in ("following", "guarded") else None

        found = polling.until(judged, 30, what="a base that is done")
        assert found is not None
        return found


@pytest.fixture
def away(mirrors: conftest.Mirrors) -> Away:
    return Away(mirrors)


def _instances(first: int, services: int = 4, each: int = 13) -> list[str]:
    """Dubbo's layout."""
    return [
        f"s{service}/providers/10.0.{first + number}"
        for service in range(services)
        for number in range(each)
    ]


def _applications(first: int, count: int = 30) -> list[str]:
    """Instances with nodes of their own below them."""
    return [
        f"instances/i{first + number}/{name}"
        for number in range(count)
        for name in ("meta", "health")
    ]


_SMALL = {"min_deletes": 10, "max_ratio": 0.3}


def test_a_rollout_while_the_mirror_was_away_needs_nobody(away: Away) -> None:
    """O5: all registrations were replaced meanwhile: as many came as went."""
    away.mirrored(_instances(0), **_SMALL)
    away.change(_instances(0), _instances(100))
    assert away.back()["guard"] is None
    away.sides.wait_equal(away.root)


@pytest.mark.long
def test_nor_does_one_of_instances_that_are_small_trees(away: Away) -> None:
    """O5, with instances that have nodes below them: the places are those of the instances."""
    away.mirrored(_applications(0), **_SMALL)
    away.change([f"instances/i{number}" for number in range(30)], _applications(100))
    assert away.back()["guard"] is None
    away.sides.wait_equal(away.root)


def test_a_lost_half_is_held_whatever_came_elsewhere(away: Away) -> None:
    """O5, the other way round: half of the services lost all of theirs, the others grew."""
    away.mirrored(_instances(0), **_SMALL)
    gone = [path for path in _instances(0) if path[:2] in ("s0", "s1")]
    came = [path for path in _instances(100) if path[:2] in ("s2", "s3")]
    away.change(gone, came)
    guard = away.back()["guard"]
    assert guard["deletes"] == 26
    assert not away.sides.equal(away.root)


def test_a_wiped_tree_with_one_new_node_is_held(away: Away) -> None:
    """O5, the other way round: everything went, and one instance came."""
    away.mirrored(_instances(0), **_SMALL)
    away.change(_instances(0), ["s0/providers/10.0.200"])
    guard = away.back()["guard"]
    assert guard["deletes"] == 52
    assert guard["creates"] == 1
    assert "10.0" in guard["sample"][0]


@pytest.mark.long
def test_lost_services_are_held_when_one_large_one_came(away: Away) -> None:
    """O5, the other way round: nothing came in the place of all but one of those that went."""
    away.mirrored(_instances(0, services=21, each=2), **_SMALL)
    gone = [f"s{service}" for service in range(20)]
    away.change(gone, [f"new/providers/10.0.{number}" for number in range(100)])
    guard = away.back()["guard"]
    assert guard["deletes"] == 80
    assert not away.sides.equal(away.root)


def test_lost_instances_are_held_when_a_folder_came_beside_them(away: Away) -> None:
    """O5, the other way round: providers vanished, and consumers were registered."""
    away.mirrored([f"app/i{number}" for number in range(31)], **_SMALL)
    gone = [f"app/i{number}" for number in range(30)]
    away.change(gone, [f"app/consumers/c{number}" for number in range(40)])
    guard = away.back()["guard"]
    assert guard["deletes"] == 30
    assert not away.sides.equal(away.root)
