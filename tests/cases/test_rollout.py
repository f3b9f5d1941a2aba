"""What the delete guard makes of a registry in which everything registers anew."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest

from tests import documents, polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd_workers.model import mapping

_numbers = itertools.count(1)


class Away:
    """A prefix that was mirrored; its mirror is stopped while it changes."""

    def __init__(self, mirrors: conftest.Mirrors) -> None:
        self.root = f"/rollout{next(_numbers)}"
        self.sides: both_sides.Sides = mirrors.sides
        self._mirrors = mirrors
        self._started: installed.Supervisor | None = None

    def mirrored(self, paths: Iterable[str], buckets: int = 1, **guard: object) -> None:
        """Make these, mirror them, and stop."""
        prefix = {"from": self.root, "to": self.root, "buckets": buckets}
        for path in paths:
            self.sides.zk.ensure_path(f"{self.root}/{path}")
        self._started = self._mirrors.following(
            self.root,
            nodes=0,
            sync={"delete_guard": guard, "prefixes": [prefix]},
            workers={"count": 1},
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
        (shard,) = self.all_back()
        return shard

    def all_back(self) -> list[installed.Document]:
        """The shards of all buckets."""
        supervisor = self._started
        assert supervisor is not None
        supervisor.start()

        def judged() -> list[installed.Document]:
            shards: list[installed.Document] = supervisor.status()["shards"]
            done = all(shard["phase"] in ("following", "guarded") for shard in shards)
            return shards if done else []

        return polling.until(judged, 30, what="bases that are done")

    def page(self) -> str:
        """The page, as a browser gets it."""
        assert self._started is not None
        return self._started.ask("/")[1]


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


_SMALL: dict[str, Any] = {"min_deletes": 10, "max_ratio": 0.3}


def test_a_rollout_while_the_mirror_was_away_needs_nobody(away: Away) -> None:
    """O5: all registrations were replaced meanwhile: as many came as went."""
    away.mirrored(_instances(0), **_SMALL)
    away.change(_instances(0), _instances(100))
    assert away.back()["guard"] is None
    away.sides.wait_equal(away.root)


def test_nor_does_one_in_buckets(away: Away) -> None:
    away.mirrored(_instances(0, 12), buckets=3, **_SMALL)
    away.change(_instances(0, 12), _instances(100, 12))
    shards = away.all_back()
    assert len(shards) == 3
    assert [shard["guard"] for shard in shards] == [None] * 3
    away.sides.wait_equal(away.root)


def test_a_lost_half_is_held_in_buckets(away: Away) -> None:
    """Half of the services of each bucket, whatever came to the other half."""
    before = _instances(0, 24)
    away.mirrored(before, buckets=3, **_SMALL)
    services: dict[int, list[str]] = {}
    for name in dict.fromkeys(path.partition("/")[0] for path in before):
        services.setdefault(mapping.bucket(name.encode(), 3), []).append(name)
    lost = {name for each in services.values() for name in each[: -(-len(each) // 2)]}
    gone = [path for path in before if path.partition("/")[0] in lost]
    away.change(gone, [path for path in _instances(100, 24) if path.partition("/")[0] not in lost])
    guards = [shard["guard"] for shard in away.all_back()]
    assert len(guards) == 3
    assert all(guards)
    assert sum(guard["deletes"] for guard in guards) == len(gone)
    assert not away.sides.equal(away.root)


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


# --- docs/operations.md, "What the delete guard holds" -------------------------------------------

_ROW = re.compile(
    r"^\| \*\*(.+?)\*\*: .+ \| (\d+) \| (\d+) \| (\d+)(?:, (\d+) %.*)? \| (.+) \|$", re.M
)


class Example(NamedTuple):
    """What the table says of one."""

    deletes: int
    creates: int
    lost: int
    percent: int
    is_held: bool


def _examples() -> dict[str, Example]:
    text = (documents.ROOT / "docs" / "operations.md").read_text("utf-8")
    return {
        name: Example(int(gone), int(came), int(lost), int(part or 0), words.startswith("held"))
        for name, gone, came, lost, part, words in _ROW.findall(text)
    }


def _services(of: Iterable[int], first: int = 0) -> list[str]:
    return [f"s{service}/providers/10.0.{first + at}" for service in of for at in range(20)]


_EXAMPLES = {
    "a rollout": (_services(range(20)), _services(range(20), 100)),
    "a lost half": (_services(range(10)), _services(range(10, 20), 100)),
    "a wiped tree": (
        [*(f"s{service}" for service in range(1, 20)), *_services([0])],
        ["s0/providers/10.0.200"],
    ),
}


@pytest.mark.long
@pytest.mark.parametrize("name", _EXAMPLES)
def test_the_examples_of_the_manual(away: Away, name: str) -> None:
    """With the thresholds' defaults, as the table says, in `status` and on the page."""
    said, (gone, came) = _examples()[name], _EXAMPLES[name]
    away.mirrored(_services(range(20)))
    before = len(away.sides.etcd.values(away.root))
    assert before == 441
    away.change(gone, came)
    guard = away.back()["guard"]
    if not said.is_held:
        assert (said.deletes, said.creates, said.lost) == (len(gone), len(came), 0)
        assert guard is None
        away.sides.wait_equal(away.root)
        return
    assert (guard["deletes"], guard["creates"]) == (said.deletes, said.creates)
    assert said.lost == said.deletes - said.creates
    assert f"{said.percent}% of the keys" in guard["reason"]
    assert guard["present"] == before
    page = " ".join(away.page().split())
    assert f"<dd>{said.deletes:,} of {before:,} keys</dd>" in page
    beside = f"<dt>New in the same places</dt><dd>{said.creates:,}</dd>"
    assert (beside in page) is (said.creates > 0)


@pytest.mark.long
def test_the_lost_half_of_the_manual_seen_live(mirrors: conftest.Mirrors) -> None:
    """With `delete_guard.live: {}`: as many keys go as the manual says."""
    text = (documents.ROOT / "docs" / "operations.md").read_text("utf-8")
    (says,) = re.findall(r"lost\s+half, (\d+) keys go", text)
    root = f"/rollout{next(_numbers)}"
    sides = mirrors.sides
    for path in _services(range(20)):
        sides.zk.ensure_path(f"{root}/{path}")
    supervisor = mirrors.following(
        root, nodes=0, sync={"delete_guard": {"live": {}}}, workers={"count": 1}
    )
    sides.wait_equal(root)
    for path in _services(range(10)):
        sides.zk.delete_async(f"{root}/{path}")
    polling.until(
        lambda: (supervisor.shards()[root]["guard"] or {}).get("deletes") == 200 - int(says), 30
    )
    assert len(sides.etcd.values(root)) == 441 - int(says)
