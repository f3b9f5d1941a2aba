"""Where a watch tells what strangers write: what it costs in a burst of ours, by turns with a run
without it; and how long a tampered key stays wrong while 1,000 others change each second."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator

import etcd3.etcdrpc as rpc
import kazoo.client

from benchmarks import bare_etcd, burst, figures, world

PER_SECOND = 1_000
_NODES = 500
_ROOT = "/drift"
_WAIT = 30.0
_numbers = itertools.count(1)


def measure(on: world.World, nodes: int, changes: int, runs: int) -> list[figures.Figure]:
    return [_burst(on, nodes, runs), *_tampered(on, changes)]


def _burst(on: world.World, nodes: int, runs: int) -> figures.Figure:
    took: dict[str, list[float]] = {"full_sync": [], "watch": []}
    for run in range(runs):
        for drift in ("watch", "full_sync") if run % 2 else ("full_sync", "watch"):
            on.empty_etcd()
            path = f"/drift-burst{next(_numbers)}"
            on.writer.create(path)
            with _following(on, path, drift):
                took[drift].append(burst.timed(on, path, nodes)[0])
                on.assert_equal(path, path)
    name = f"burst of {nodes:,} creates, watched"
    return figures.ratio(name, took["watch"], took["full_sync"], 1.05, beside="not watched")


@contextlib.contextmanager
def _following(on: world.World, path: str, drift: str) -> Iterator[None]:
    with on.supervisor(path) as supervisor:
        sync = {**supervisor.content["sync"], "drift": drift}
        supervisor.configure({**supervisor.content, "sync": sync})
        supervisor.start()
        supervisor.wait_following()
        yield


def _tampered(on: world.World, changes: int) -> list[figures.Figure]:
    """By turns changed and deleted, each key twice at most; the load is below the same root."""
    on.empty_etcd()
    nodes = [f"{_ROOT}/hurt/n{number}" for number in range(changes)]
    for path in (_ROOT, f"{_ROOT}/hurt", f"{_ROOT}/load"):
        on.writer.create(path)
    for number in range(_NODES):
        on.writer.create(f"{_ROOT}/load/n{number}", b"0")
    for path in nodes:
        on.writer.create(path, b"right")
    times: list[float] = []
    with _following(on, _ROOT, "watch"), _load(on):
        watch = bare_etcd.Watch(on.channel, f"{_ROOT}/hurt".encode())
        kv = rpc.KVStub(on.channel)
        for number, path in enumerate(nodes):
            key, started = path.encode(), time.monotonic()
            if number % 2:
                kv.DeleteRange(rpc.DeleteRangeRequest(key=key), timeout=_WAIT)
            else:
                kv.Put(rpc.PutRequest(key=key, value=b"theirs"), timeout=_WAIT)
            while (seen := watch.seen.get(timeout=_WAIT))[:2] != (key, b"right"):
                pass
            times.append(seen[2] - started)
        watch.close()
    what = f"tampered key under {PER_SECOND:,} changes a second"
    detail = f"of {len(times)} keys, slowest {figures.seconds(max(times))}"
    half, most = (figures.percentile(times, percent) * 1000 for percent in (50, 99))
    return [
        figures.Figure(f"{what}, right after p50", half, "ms", 100.0, detail),
        figures.Figure("  p99", most, "ms", 1000.0, detail),
    ]


@contextlib.contextmanager
def _load(on: world.World) -> Iterator[None]:
    """So many changes a second, as far as this machine gets round to them."""
    client, over = kazoo.client.KazooClient(on.zookeeper.address), threading.Event()
    client.start(15)

    def run() -> None:
        due, numbers = time.monotonic(), itertools.count()
        while not over.wait(max(0.0, due - time.monotonic())):
            due += 10 / PER_SECOND
            some = list(itertools.islice(numbers, 10))
            for at in [client.set_async(f"{_ROOT}/load/n{n % _NODES}", b"%d" % n) for n in some]:
                at.wait(_WAIT)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_WAIT)
        client.stop()
        client.close()
