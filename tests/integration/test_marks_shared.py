"""Two ensembles, each with a mirror of its own, and a stranger, in one range of etcd, step by step:
what the seeds of `tests/faults --marks` do at random. A watch of etcd is the judge.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

import pytest

from tests import polling
from tests.faults import beside, watcher
from tests.integration import marking, mirroring, observing
from zk2etcd import messages
from zk2etcd.sandbox import servers

COMMON = [f"c{number:03d}" for number in range(200)]


class Side:
    """One ensemble, and its mirror."""

    def __init__(self, world: mirroring.World, side: str) -> None:
        self.world, self.side = world, side
        world.state = f"{beside.STATE}/{side}"
        self.names = [*COMMON, *(f"{side}{number:03d}" for number in range(20))]
        self.value = side.encode()
        marking.grown(world, self.names, self.value)
        self.shard: messages.Shard = marking.marked(world.root, beside.TO)

    def starts(self) -> mirroring.Worker:
        worker = self.world.worker(shards=[self.shard])
        worker.follows()
        return worker

    def sets(self, names: Iterable[str], value: bytes) -> None:
        for each in [self.world.zk.set_async(self.world.path(name), value) for name in names]:
            each.get(30)

    def gives_up(self, names: Iterable[str]) -> None:
        for each in [self.world.zk.delete_async(self.world.path(name)) for name in names]:
            each.get(30)

    def nodes(self) -> dict[bytes, bytes]:
        return self.world.wanted(self.world.root, beside.TO)


@pytest.fixture
def both(
    zookeeper: servers.ZooKeeper,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    prefix: str,
) -> Iterator[tuple[Side, Side]]:
    with contextlib.ExitStack() as stack:
        red, blue = (
            stack.enter_context(mirroring.World(each.address, fresh_etcd.address, prefix))
            for each in (zookeeper, fresh_zookeeper)
        )
        yield Side(red, beside.SIDES[0]), Side(blue, beside.SIDES[1])


def keys(names: Iterable[str]) -> list[bytes]:
    return [f"{beside.TO}/{name}".encode() for name in names]


def values(side: Side, names: Iterable[str]) -> set[bytes | None]:
    found = side.world.etcd.values(beside.TO)
    return {found.get(key) for key in keys(names)}


def test_two_ensembles_and_a_stranger_share_a_range(
    both: tuple[Side, Side], fresh_etcd: servers.Etcd
) -> None:
    red, blue = both
    with contextlib.ExitStack() as stack:
        seen = watcher.Watcher([fresh_etcd.address])
        stack.callback(seen.close)
        stranger = beside.Stranger(fresh_etcd, 0)
        stack.callback(stranger.close)
        for key in keys(COMMON[:20]):
            stranger.takes(key)
        # Who comes first has the names of both, but what somebody had before.
        reds = red.starts()
        reds.wait(lambda report: report.conflicts == 20)
        blues = blue.starts()
        blues.wait(lambda report: report.conflicts == 201, what="200 names, and the root")
        red.sets(red.names, b"red 2")
        blue.sets(blue.names, b"blue 2")
        polling.until(lambda: values(red, red.names[20:]) == {b"red 2"})
        polling.until(lambda: values(blue, blue.names[200:]) == {b"blue 2"})
        # What red gives up is blue's with the next full sync, live or not.
        red.gives_up(COMMON[50:100])
        polling.until(lambda: values(red, COMMON[50:100]) == {None})
        blues.full_sync()
        assert values(blue, COMMON[50:100]) == {b"blue 2"}
        blues.wait(lambda report: report.conflicts == 151)
        observing.seed(red.world.zk, [(red.world.path(name), b"late") for name in COMMON[50:60]])
        reds.wait(lambda report: report.conflicts == 30)
        # A stranger takes from both, and lets go of all.
        for key in keys([*COMMON[60:70], *COMMON[100:110]]):
            stranger.takes(key)
        red.sets(COMMON[100:110], b"red 3")
        reds.wait(lambda report: report.conflicts == 40)
        blues.full_sync()
        blues.wait(lambda report: report.conflicts == 161)
        assert values(red, [*COMMON[:20], *COMMON[60:70], *COMMON[100:110]]) == {b"stranger's now"}
        stranger.leave()
        reds.full_sync()
        reds.wait(lambda report: report.conflicts == 10)
        assert values(red, COMMON[:20]) == {b"red 2"}
        blues.full_sync()
        blues.wait(lambda report: report.conflicts == 151)
        # Nothing of it hangs on what was known by heart.
        reds.drain()
        again = red.starts()
        assert again.wait(lambda report: report.conflicts == 10).guard is None
        _judged(seen, red, blue)


def _judged(seen: watcher.Watcher, red: Side, blue: Side) -> None:
    revision = red.world.etcd.revision()
    polling.until(lambda: seen.revision >= revision, what="the watch has seen all")
    judge = beside.Judge(seen.events)
    assert not judge.violations, list(map(str, judge.violations[:5]))
    nodes = {each.side: each.nodes() for each in (red, blue)}
    found = red.world.etcd.values(beside.TO)
    assert found.keys() == nodes["red"].keys() | nodes["blue"].keys()
    wrong = {key: value for key, value in found.items() if nodes[judge.owners[key]][key] != value}
    assert not wrong
    assert judge.counts["passed on"] >= 90


def test_two_ensembles_under_one_id_by_mistake(both: tuple[Side, Side]) -> None:
    """They share `state.prefix`, too, so that each takes the other's marks for its own: the second
    waits for the first, and is held for a person when that one ends."""
    red, blue = both
    blue.world.state = red.world.state
    reds = red.starts()
    before = red.world.etcd.below(beside.TO)
    blues = blue.world.worker(shards=[blue.shard], identity=marking.SECOND)
    blues.wait(lambda report: report.holder is not None)
    red.sets(COMMON[:5], b"red 2")
    polling.until(lambda: values(red, COMMON[:5]) == {b"red 2"})
    reds.drain()
    trip = blues.trip(30)
    assert trip.kind == "identity", trip
    blue.sets(COMMON[:5], b"blue 2")
    assert red.world.etcd.below(beside.TO).keys() == before.keys()
    assert values(red, COMMON) == {b"red", b"red 2"}
