"""The first full sync of a Dubbo-like tree, from the worker's connection and from process start."""

from __future__ import annotations

import statistics
import sys

from benchmarks import figures, world

START_SECONDS = 2.5


def measure(
    on: world.World,
    source: str,
    nodes: int,
    runs: int,
    *,
    script: str = "bare_sync",
    target: float = 1.5,
) -> list[figures.Figure]:
    """`source` holds `nodes` nodes already.

    :param script: the bare one, to be reached within `target` times its time.
    """
    ours: list[world.Timeline] = []
    bare: list[world.Timeline] = []
    for run in range(runs):
        # Whoever comes second finds warmer servers: take turns.
        if run % 2:
            ours.append(followed(on, source, nodes))
        bare.append(_bare(on, source, nodes, script))
        if run % 2 == 0:
            ours.append(followed(on, source, nodes))
    name = f"first full sync of {nodes:,} nodes"
    compared = figures.ratio(name, _syncing(ours), _syncing(bare), target)
    start = statistics.median(line.connected - line.started for line in ours)
    whole = statistics.median(line.equal - line.started for line in ours)
    detail = f"process start to equality {figures.seconds(whole)}"
    return [
        compared,
        figures.Figure("  process start before that", start, "s", START_SECONDS, detail),
    ]


def _syncing(lines: list[world.Timeline]) -> list[float]:
    return [syncing(line) for line in lines]


def syncing(line: world.Timeline) -> float:
    return line.equal - line.connected


def _bare(on: world.World, source: str, nodes: int, script: str = "bare_sync") -> world.Timeline:
    on.empty_etcd()
    running = []
    line = on.watched(lambda: running.append(on.bare(script, source, source)), source, nodes - 1)
    if running[0].wait(world.TIMEOUT):
        raise AssertionError("the bare sync failed")
    return line


def followed(
    on: world.World, source: str, nodes: int, *, python: str = sys.executable
) -> world.Timeline:
    """Our own, into an etcd that was emptied.

    :param python: which has the build that is to run.
    """
    on.empty_etcd()
    with on.supervisor(source, python=python) as supervisor:
        line = on.watched(supervisor.launch, source, nodes - 1)
        supervisor.wait_following()
        if on.assert_equal(source, source) != nodes:
            raise AssertionError("the tree is not what was seeded")
    return line
