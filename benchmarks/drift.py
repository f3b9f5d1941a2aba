"""Where a watch tells what strangers write: what it costs in a burst of ours, by turns with a run
without it; and how long what they hurt stays wrong (`strangers`)."""

from __future__ import annotations

import itertools

from benchmarks import burst, figures, strangers, world

_numbers = itertools.count(1)


def measure(on: world.World, nodes: int, keys: int, runs: int) -> list[figures.Figure]:
    return [_burst(on, nodes, runs), *strangers.measure(on, keys, runs)]


def _burst(on: world.World, nodes: int, runs: int) -> figures.Figure:
    took: dict[str, list[float]] = {"full_sync": [], "watch": []}
    for run in range(runs):
        for drift in ("watch", "full_sync") if run % 2 else ("full_sync", "watch"):
            on.empty_etcd()
            path = f"/drift-burst{next(_numbers)}"
            on.writer.create(path)
            with strangers.watching(on, path, drift):
                took[drift].append(burst.timed(on, path, nodes)[0])
                on.assert_equal(path, path)
    name = f"burst of {nodes:,} creates, watched"
    return figures.ratio(name, took["watch"], took["full_sync"], 1.05, beside="not watched")
