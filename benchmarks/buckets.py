"""One prefix in two buckets on two workers, beside the same prefix whole on one: what a second
process is worth. It shares the processors with ZooKeeper, etcd and whoever creates the nodes, so on
two of them that is little; the figures have no targets."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from benchmarks import burst, figures, world

_numbers = itertools.count(1)
SPLITS = (1, 2)


def measure(
    on: world.World, source: str, nodes: int, creates: int, runs: int
) -> list[figures.Figure]:
    """`source` holds `nodes` nodes already; `creates` more come below a prefix that is followed."""
    syncs: dict[int, list[float]] = {split: [] for split in SPLITS}
    bursts: dict[int, list[float]] = {split: [] for split in SPLITS}
    for run in range(runs):
        for split in SPLITS if run % 2 else reversed(SPLITS):
            syncs[split].append(_sync(on, source, nodes, split))
            bursts[split].append(_burst(on, creates, split))
    return [
        _beside(f"first full sync of {nodes:,} nodes in 2 buckets", syncs),
        _beside(f"burst of {creates:,} creates in 2 buckets", bursts),
    ]


def _beside(name: str, times: dict[int, list[float]]) -> figures.Figure:
    whole, halves = (statistics.median(times[split]) for split in SPLITS)
    detail = f"{_told(times[2])} beside {_told(times[1])} whole on one worker"
    return figures.Figure(name, halves / whole, "x", None, detail)


def _told(times: Sequence[float]) -> str:
    spread = f" ({figures.seconds(min(times))} to {figures.seconds(max(times))})"
    return figures.seconds(statistics.median(times)) + (spread if len(times) > 1 else "")


def _prefix(path: str, split: int) -> dict[str, object]:
    return {"from": path, "to": path, "buckets": split}


def _sync(on: world.World, source: str, nodes: int, split: int) -> float:
    on.empty_etcd()
    with on.supervisor(_prefix(source, split), workers=split) as supervisor:
        line = on.watched(supervisor.launch, source, nodes - 1)
        supervisor.wait_following()
        on.assert_equal(source, source)
    return line.equal - line.connected


def _burst(on: world.World, creates: int, split: int) -> float:
    path = f"/split{next(_numbers)}"
    on.writer.create(path)
    with on.supervisor(_prefix(path, split), workers=split) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        first, _ = burst.timed(on, path, creates)
        on.assert_equal(path, path)
    return first
