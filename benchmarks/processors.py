"""One prefix in four buckets on two workers, beside the same prefix whole on one: how long a first
full sync takes, and what it and a full sync that finds nothing use of the processors in all, the
servers included: other work beside it changes that less than it changes the time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks import figures, processes, world
from zk2etcd.sandbox import supervisor as supervisors

BUCKETS, WORKERS = 4, 2
_FIRST_SYNC = 1.05


class Cost(NamedTuple):
    """Seconds until both sides were equal; seconds of processors, of all processes, of the first
    full sync and of one that finds nothing."""

    took: float
    first: float
    again: float


def measure(on: world.World, trees: Sequence[tuple[str, int]], runs: int) -> list[figures.Figure]:
    """`trees` are (path, nodes), in ZooKeeper already. By turns: for whoever comes first in a tree
    of a new size, etcd's file grows."""
    found: list[figures.Figure] = []
    for source, nodes in trees:
        costs: dict[int, list[Cost]] = {1: [], BUCKETS: []}
        for run in range(runs):
            for buckets in (1, BUCKETS) if run % 2 else (BUCKETS, 1):
                costs[buckets].append(_cost(on, source, nodes, buckets))
        split, whole = costs[BUCKETS], costs[1]
        is_large = nodes >= 1_000_000  # where the start of a second worker is no part of it
        found += [
            _beside(
                f"first full sync of {nodes:,} nodes in {BUCKETS} buckets",
                [cost.took for cost in split],
                [cost.took for cost in whole],
                _FIRST_SYNC if is_large else None,
            ),
            _beside("  processors for it", [c.first for c in split], [c.first for c in whole]),
            _beside("  and for a full sync", [c.again for c in split], [c.again for c in whole]),
        ]
    return found


def _beside(
    name: str, split: Sequence[float], whole: Sequence[float], target: float | None = None
) -> figures.Figure:
    mine, other = statistics.median(split), statistics.median(whole)
    times = f"{figures.seconds(mine)} beside {figures.seconds(other)} whole on one worker"
    detail = f"{times}, median of {len(whole)}"
    return figures.Figure(name, mine / other, "x", target, detail)


def _cost(on: world.World, source: str, nodes: int, buckets: int) -> Cost:
    on.empty_etcd()
    prefix = {"from": source, "to": source, "buckets": buckets}
    with on.supervisor(prefix, workers=WORKERS if buckets > 1 else 1) as supervisor:
        before = _servers(on)
        line = on.watched(supervisor.launch, source, nodes - 1)
        supervisor.wait_following(world.TIMEOUT)
        first = _servers(on) - before + _ours(supervisor)
        before = _servers(on) + _ours(supervisor)
        _full_sync(supervisor)
        again = _servers(on) + _ours(supervisor) - before
    return Cost(line.equal - line.connected, first, again)


def _full_sync(supervisor: supervisors.Supervisor) -> None:
    """One of each bucket."""
    before = _last(supervisor)
    supervisor.ask("/full-sync", {})
    deadline = time.monotonic() + world.TIMEOUT
    while any(last == each for last, each in zip(_last(supervisor), before, strict=True)):
        if time.monotonic() > deadline:
            raise AssertionError("the full syncs did not end")
        time.sleep(0.1)


def _last(supervisor: supervisors.Supervisor) -> list[object]:
    return [shard["last_full_sync"] for shard in supervisor.status()["shards"]]


def _servers(on: world.World) -> float:
    return processes.cpu_of(on.zookeeper.pid, on.etcd.pid)


def _ours(supervisor: supervisors.Supervisor) -> float:
    return processes.cpu(*processes.family(supervisor.pid))
