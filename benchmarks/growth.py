"""Full syncs that find nothing, of trees of several sizes: what one costs for each node, how much
of etcd's CPU it takes, and how long another client's puts take meanwhile: where all share the
processors, as here they do, and where etcd and that client have one of their own."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc
import psutil

from benchmarks import figures, processes, verify, world

_CALM_SECONDS = 3.0
_BETWEEN = 0.01
_SHARE = 0.25
"""Of the 17 s of etcd's CPU that a full sync of 1,000,000 nodes took when each page counted all
keys behind it; less in proportion where there are fewer."""


class Cost(NamedTuple):
    """Seconds, and seconds of etcd's CPU, of one full sync."""

    took: float
    etcd: float


class _Measured(NamedTuple):
    """Of one tree; `apart` are the times (without, beside) where etcd has a processor of its own,
    None where there is but one."""

    costs: list[Cost]
    calm: list[float]
    busy: list[float]
    apart: tuple[list[float], list[float]] | None


class _Other(threading.Thread):
    """Another client, which puts all the time."""

    def __init__(self, on: world.World) -> None:
        super().__init__(daemon=True)
        self._kv: Any = rpc.KVStub(on.channel)
        self._over = threading.Event()
        self.times: list[float] = []

    def run(self) -> None:
        while not self._over.wait(_BETWEEN):
            started = time.monotonic()
            self._kv.Put(rpc.PutRequest(key=b"other", value=b"v"), timeout=world.TIMEOUT)
            self.times.append(time.monotonic() - started)

    def stop(self) -> list[float]:
        self._over.set()
        self.join()
        return self.times


def measure(on: world.World, trees: Sequence[tuple[str, int]], runs: int) -> list[figures.Figure]:
    """`trees` are (path, nodes), the smallest first; they are in ZooKeeper already."""
    found: list[figures.Figure] = []
    first = 0.0
    for source, nodes in trees:
        measured = _measured(on, source, runs)
        costs = measured.costs
        took = statistics.median(cost.took for cost in costs)
        each, first = took / nodes, first or took / nodes
        name = f"full sync of {nodes:,} nodes"
        if nodes != trees[0][1]:
            detail = f"{each * 1e6:.1f} us a node beside {first * 1e6:.1f} at {trees[0][1]:,}"
            found.append(figures.Figure(f"{name}, a node", each / first, "x", 1.3, detail))
        cpu = statistics.median(cost.etcd for cost in costs)
        most = 17.0 * _SHARE * max(nodes, 100_000) / 1_000_000
        detail = f"of {figures.seconds(took)} in all, median of {len(costs)}"
        found.append(figures.Figure("  etcd's CPU for it", cpu, "s", most, detail))
        found.append(_beside("  a put meanwhile, p99", measured.busy, measured.calm))
        if measured.apart is not None:
            calm, busy = measured.apart
            name = "  the same, etcd and who puts on a processor of their own"
            found.append(_beside(name, busy, calm))
    return found


def _measured(on: world.World, source: str, runs: int) -> _Measured:
    on.empty_etcd()
    with on.supervisor(source, workers=1) as supervisor:
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        costs = []
        for _ in range(runs):
            before = processes.cpu_of(on.etcd.pid)
            took = verify.full_sync(supervisor, source)
            costs.append(Cost(took, processes.cpu_of(on.etcd.pid) - before))

        def beside() -> tuple[list[float], list[float]]:
            calm = _puts(on, lambda: time.sleep(_CALM_SECONDS))
            return calm, _puts(on, lambda: verify.full_sync(supervisor, source))

        together = beside()
        theirs = [on.zookeeper.pid, *(each.pid for each in processes.family(supervisor.pid))]
        with _apart([on.etcd.pid, os.getpid()], theirs) as are_apart:
            return _Measured(costs, *together, beside() if are_apart else None)


@contextlib.contextmanager
def _apart(ours: Sequence[int], theirs: Sequence[int]) -> Iterator[bool]:
    """The first processor is for these alone, the rest for those. False where there is one only."""
    usable = os.sched_getaffinity(0)
    first = {min(usable)}
    if usable == first:
        yield False
        return
    try:
        _bind(ours, first)
        _bind(theirs, usable - first)
        yield True
    finally:
        _bind([*ours, *theirs], usable)


def _bind(pids: Sequence[int], usable: set[int]) -> None:
    """With all their threads; those that end meanwhile need nothing."""
    for pid in pids:
        for thread in psutil.Process(pid).threads():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread.id, usable)


def _puts(on: world.World, meanwhile: Callable[[], object]) -> list[float]:
    other = _Other(on)
    other.start()
    meanwhile()
    return other.stop()


def _beside(name: str, busy: Sequence[float], calm: Sequence[float]) -> figures.Figure:
    slow, usual = (figures.percentile(times, 99) for times in (busy, calm))
    detail = f"{figures.seconds(slow)} beside {figures.seconds(usual)} when calm"
    return figures.Figure(name, slow / usual, "x", 10.0, detail)
