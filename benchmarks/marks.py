"""Where only marked keys are ours (`sync.ownership: marks`), by turns with `range`: what is created
costs a second key, what is changed a compare, and a full sync reads the marks too."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

import kazoo.client
import psutil

from benchmarks import bare_etcd, burst, figures, full_sync, verify, world

CREATES, UPDATES, IDLE = 2.0, 1.1, 1.6
_WAYS = ("range", "marks")
_MIB = 1024 * 1024
_numbers = itertools.count(1)


def measure(
    on: world.World, source: str, nodes: int, changes: int, runs: int
) -> list[figures.Figure]:
    """`source` holds `nodes` nodes already; `changes` are created, then set, live."""
    synced, idle, created, updated = (_times() for _ in range(4))
    stored: dict[str, float] = {}
    for run in range(runs):
        for way in _WAYS[:: 1 if run % 2 else -1]:
            on.empty_etcd()
            with _supervisor(on, source, way) as supervisor:
                line = on.watched(supervisor.launch, source, nodes - 1)
                supervisor.wait_following()
                synced[way].append(full_sync.syncing(line))
                stored[way] = psutil.Process(on.etcd.pid).memory_info().rss / _MIB
                verify.full_sync(supervisor, source)
                idle[way].append(verify.full_sync(supervisor, source))
            path = f"/marks{next(_numbers)}"
            on.writer.create(path)
            on.empty_etcd()
            with _supervisor(on, path, way) as supervisor:
                supervisor.start()
                supervisor.wait_following()
                created[way].append(burst.timed(on, path, changes)[0])
                on.assert_equal(path, path)
                updated[way].append(_updates(on, path))
    told = ", ".join(f"{way} {stored[way]:.0f} MiB" for way in _WAYS)
    sizes = figures.Figure(
        "  memory of etcd after it, with marks", stored["marks"], "MiB", None, told
    )
    return [
        _ratio(f"first full sync of {nodes:,} nodes, marked", synced, CREATES),
        sizes,
        _ratio(f"burst of {changes:,} creates, marked", created, CREATES),
        _ratio("as many updates, marked", updated, UPDATES),
        _ratio(f"full sync of {nodes:,} nodes, nothing to do, marked", idle, IDLE),
    ]


def _times() -> dict[str, list[float]]:
    return {way: [] for way in _WAYS}


def _ratio(name: str, took: dict[str, list[float]], target: float) -> figures.Figure:
    return figures.ratio(name, took["marks"], took["range"], target, beside="by range")


@contextlib.contextmanager
def _supervisor(on: world.World, path: str, way: str) -> Iterator[Any]:
    with on.supervisor(path) as supervisor:
        sync = {**supervisor.content["sync"], "ownership": way}
        supervisor.configure({**supervisor.content, "sync": sync})
        yield supervisor


def _updates(on: world.World, path: str) -> float:
    """Set every node below `path` once; seconds from the first set until all are in etcd."""
    names = [kv.key for page in bare_etcd.pages(on.channel, path.encode()) for kv in page][1:]
    watch, left = bare_etcd.Watch(on.channel, path.encode()), set(names)
    client = kazoo.client.KazooClient(on.zookeeper.address)
    client.start(15)
    try:
        started = time.monotonic()
        for at in range(0, len(names), 500):
            some = [client.set_async(each.decode(), b"new") for each in names[at : at + 500]]
            for each in some:
                each.get(60)
        while left:
            key, value, when = watch.seen.get(timeout=60)
            if value == b"new":
                left.discard(key)
        return when - started
    finally:
        watch.close()
        client.stop()
        client.close()
