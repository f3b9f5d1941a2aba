"""A burst of creates while following: how long after the last create etcd is equal."""

from __future__ import annotations

import itertools
import subprocess
import time

from benchmarks import figures, world

_numbers = itertools.count(1)


def measure(on: world.World, nodes: int, runs: int) -> list[figures.Figure]:
    ours: list[tuple[float, float]] = []
    bare: list[tuple[float, float]] = []
    on.empty_etcd()
    for _ in range(runs):
        bare.append(_bare(on, nodes))
        ours.append(_ours(on, nodes))
    name = f"burst of {nodes:,} creates"
    return [
        figures.ratio(f"{name}, after the last", _last(ours), _last(bare), 1.5),
        figures.ratio("  from the first create on", _first(ours), _first(bare), 1.5),
    ]


def _first(times: list[tuple[float, float]]) -> list[float]:
    return [first for first, _ in times]


def _last(times: list[tuple[float, float]]) -> list[float]:
    return [last for _, last in times]


def timed(on: world.World, path: str, nodes: int) -> tuple[float, float]:
    """Create `nodes` nodes below `path`; seconds to equality from the first, and from the last."""
    first = time.monotonic()
    on.seed(path, nodes)
    last = time.monotonic()
    equal = on.filled(path, nodes - path.count("/"))  # those above count as nodes too
    return equal - first, equal - last


def _bare(on: world.World, nodes: int) -> tuple[float, float]:
    path = _root(on)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with on.bare("bare_follow", path, path, **pipes) as follower:
        assert follower.stdin is not None
        assert follower.stdout is not None
        if follower.stdout.readline() != "ready\n":
            raise AssertionError("the bare follower did not start")
        times = timed(on, path, nodes)
        follower.stdin.close()
    return times


def _ours(on: world.World, nodes: int) -> tuple[float, float]:
    path = _root(on)
    with on.supervisor(path) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        times = timed(on, path, nodes)
        on.assert_equal(path, path)
    return times


def _root(on: world.World) -> str:
    path = f"/burst{next(_numbers)}"
    on.writer.create(path)
    return path
