"""ZooKeeper before 3.6, which knows neither bulk reads nor recursive watches: a first sync beside a
bare script that reads the same way, what a node costs where there are more of them, a reconnect,
memory, and a burst below one parent beside the installed release.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from benchmarks import figures, full_sync, memory, reconnect, world
from tests import releases
from zk2etcd.sandbox import servers
from zk2etcd_workers.commands import generate

LARGE, SMALL = "/dubbo", "/half"
_MOST_MIB = 400.0
_RELEASE = "3.4: "


def memory_of(nodes: int) -> list[figures.Figure]:
    """Of a mirror that follows so many."""
    with opened() as old:
        old.seed(LARGE, nodes)
        return [_of_release(each) for each in memory.following(old, LARGE, nodes, _MOST_MIB)]


def measure(installed: world.World, nodes: int, burst: int, runs: int) -> list[figures.Figure]:
    """:param installed: of the installed release, for the burst."""
    with opened() as old:
        old.seed(SMALL, nodes // 2)
        old.seed(LARGE, nodes)
        return list(map(_of_release, _figures(old, installed, nodes, burst, runs)))


@contextlib.contextmanager
def opened() -> Iterator[world.World]:
    """A world with a ZooKeeper 3.4."""
    if (missing := releases.missing(releases.ZOOKEEPER_3_4)) is not None:
        raise SystemExit(f"no ZooKeeper 3.4 to measure with: {missing}")
    with servers.opened() as box:
        old = world.World(box, releases.class_path(releases.ZOOKEEPER_3_4))
        with contextlib.closing(old):
            yield old


def _of_release(figure: figures.Figure) -> figures.Figure:
    return dataclasses.replace(figure, name=_RELEASE + figure.name.strip())


def _figures(
    old: world.World, installed: world.World, nodes: int, burst: int, runs: int
) -> Iterator[figures.Figure]:
    yield full_sync.measure(old, LARGE, nodes, runs, script="bare_classic", target=1.6)[0]
    yield _growth(old, nodes, runs)
    yield reconnect.measure(old, LARGE, nodes, runs)
    yield from memory.following(old, LARGE, nodes, None)
    yield _burst(old, installed, burst, runs)


def _growth(on: world.World, nodes: int, runs: int) -> figures.Figure:
    few, many = nodes // 2, nodes
    name = f"a node of {many:,} beside one of {few:,}"
    sizes = {LARGE: many, SMALL: few}
    times = {path: [_a_node(on, path, sizes[path]) for _ in range(runs)] for path in sizes}
    return figures.ratio(name, times[LARGE], times[SMALL], 1.3, beside="there")


def _a_node(on: world.World, path: str, nodes: int) -> float:
    return full_sync.syncing(full_sync.followed(on, path, nodes)) / nodes


def _burst(old: world.World, installed: world.World, nodes: int, runs: int) -> figures.Figure:
    """After the last create."""
    before: list[float] = []
    now: list[float] = []
    for run in range(runs):
        before.append(_below_one_parent(old, f"/flat{run}", nodes))
        now.append(_below_one_parent(installed, f"/flat{run}", nodes))
    name = f"burst of {nodes:,} creates below one parent"
    return figures.ratio(name, before, now, 3.0, beside="with the installed release")


def _below_one_parent(on: world.World, path: str, nodes: int) -> float:
    on.empty_etcd()
    on.writer.create(path)
    with on.supervisor(path) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        on.writer.write(generate.plain(path, 1, nodes, 12))
        last = time.monotonic()
        return on.filled(path, nodes + 1) - last
