"""Another build by turns with this one, on the same servers, where what grows was to cost less: a
restart, a full sync that finds nothing and a `diff`, of trees of several sizes; and a first sync
from ZooKeeper before 3.6.
"""

from __future__ import annotations

import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from benchmarks import classic, figures, full_sync, processes, verify, world

_FASTER = {1_000_000: 2.3, 3_000_000: 5.0}
_OLD_SERVER_FASTER = 4.0
_ETCD_SHARE = 0.25
"""Of etcd's processors for a full sync of a tree of these sizes."""
_DIFF_SECONDS = 1_800.0

T = TypeVar("T")


class _Cost(NamedTuple):
    """Seconds; `etcd`: of etcd's processors for the full sync."""

    restart: float
    full_sync: float
    diff: float
    etcd: float


def measure(
    on: world.World,
    trees: Sequence[tuple[str, int]],
    nodes: int,
    runs: int,
    other: pathlib.Path | None,
) -> list[figures.Figure]:
    """:param trees: (path, nodes); they are in ZooKeeper already.
    :param nodes: of the tree in ZooKeeper before 3.6.
    :param other: the folder of another build, with its `.venv`; there are no figures without one.
    """
    if other is None:
        return []
    found = [figure for tree in trees for figure in _of_tree(on, *tree, runs, other)]
    return [*found, _classic(nodes, runs, other)]


def _classic(nodes: int, runs: int, other: pathlib.Path) -> figures.Figure:
    with classic.opened() as old:
        old.seed(classic.LARGE, nodes)

        def once(python: str) -> float:
            synced = full_sync.followed(old, classic.LARGE, nodes, python=python)
            return full_sync.syncing(synced)

        ours, theirs = _by_turns(runs, other, once)
    name = f"3.4: first full sync of {nodes:,} nodes, beside the other build"
    return figures.ratio(name, ours, theirs, 1 / _OLD_SERVER_FASTER, beside="there")


def _of_tree(
    on: world.World, source: str, nodes: int, runs: int, other: pathlib.Path
) -> Iterator[figures.Figure]:
    on.empty_etcd()
    with on.supervisor(source, workers=1) as first:
        first.start()
        first.wait_following(world.TIMEOUT)
    costs = _by_turns(runs, other, lambda python: _cost(on, source, python))
    target = 1 / _FASTER[nodes] if nodes in _FASTER else None
    for at, what in enumerate(("restart", "full sync that finds nothing", "diff")):
        ours, theirs = ([cost[at] for cost in of_build] for of_build in costs)
        name = f"{what}, {nodes:,} nodes, beside the other build"
        yield figures.ratio(name, ours, theirs, target, beside="there")
    ours, theirs = ([cost.etcd for cost in of_build] for of_build in costs)
    name = "  etcd's processors for the full sync"
    share = _ETCD_SHARE if target else None
    yield figures.ratio(name, ours, theirs, share, beside="there")


def _by_turns(runs: int, other: pathlib.Path, once: Callable[[str], T]) -> tuple[list[T], list[T]]:
    """What comes of this build, and of the other one, each given its Python."""
    ours: list[T] = []
    theirs: list[T] = []
    python = str(other / ".venv/bin/python")
    for run in range(runs):
        # Whoever comes second finds warmer servers.
        if run % 2:
            ours.append(once(sys.executable))
        theirs.append(once(python))
        if run % 2 == 0:
            ours.append(once(sys.executable))
    return ours, theirs


def _cost(on: world.World, source: str, python: str) -> _Cost:
    """In etcd is all of it already."""
    began = time.monotonic()
    with on.supervisor(source, workers=1, python=python) as supervisor:
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        restart = time.monotonic() - began
        before = processes.cpu_of(on.etcd.pid)
        took = verify.full_sync(supervisor, source)
        of_etcd = processes.cpu_of(on.etcd.pid) - before
    began = time.monotonic()
    _diff(supervisor)
    return _Cost(restart, took, time.monotonic() - began, of_etcd)


def _diff(supervisor: world.Build) -> None:
    command = [supervisor.python, "-m", "zk2etcd", "diff", "-c", str(supervisor.config)]
    subprocess.run(
        command,
        cwd=supervisor.config.parent,  # where no other build's packages lie
        env=supervisor.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_DIFF_SECONDS,
        check=True,
    )
