"""Single changes on a quiet machine: from the ZooKeeper write to etcd's watch event.

Beside it, what the two writes cost alone: a zk write and an etcd write, one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import etcd3.etcdrpc as rpc

from benchmarks import bare_etcd, figures, world

KINDS = ("create", "set", "delete")
PAUSE_SECONDS = 0.005
WAIT_SECONDS = 10.0
ROOT = "/latency"

Write = Callable[[str, str], None]


def measure(on: world.World, changes: int) -> list[figures.Figure]:
    """`changes` of each kind, one at a time."""
    on.empty_etcd()
    on.writer.create(ROOT)
    with on.supervisor(ROOT) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        watch = bare_etcd.Watch(on.channel, ROOT.encode())
        ours = _times(changes, lambda kind, path: _mirrored(on, watch, kind, path))
        watch.close()
    bare = _times(changes, lambda kind, path: _twice(on, kind, path))
    return [figure for kind in KINDS for figure in _figures(kind, ours[kind], bare[kind])]


def _figures(kind: str, ours: list[float], bare: list[float]) -> list[figures.Figure]:
    p50 = figures.ratio(f"single {kind}, p50", ours, bare, 4.0)
    p99 = figures.percentile(ours, 99) * 1000
    plain = figures.percentile(bare, 99) * 1000
    detail = f"{plain:.1f} ms bare, of {len(ours)} changes"
    return [p50, figures.Figure(f"single {kind}, p99", p99, "ms", 50.0, detail)]


def _times(changes: int, write: Write) -> dict[str, list[float]]:
    """Seconds of each change by kind; every node is created, set and deleted."""
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(changes):
        for kind in KINDS:
            started = time.monotonic()
            write(kind, f"{ROOT}/node{number}")
            times[kind].append(time.monotonic() - started)
            time.sleep(PAUSE_SECONDS)
    return times


def _change(on: world.World, kind: str, path: str) -> None:
    if kind == "create":
        on.writer.create(path, b"first")
    elif kind == "set":
        on.writer.set(path, b"second")
    else:
        on.writer.delete(path)


def _mirrored(on: world.World, watch: bare_etcd.Watch, kind: str, path: str) -> None:
    """Change the node, and return when etcd's watch shows just that."""
    _change(on, kind, path)
    key, value, _ = watch.seen.get(timeout=WAIT_SECONDS)
    wanted = {"create": b"first", "set": b"second", "delete": None}[kind]
    if (key, value) != (path.encode(), wanted):
        raise AssertionError(f"{kind} of {path} arrived as {key!r}: {value!r}")


def _twice(on: world.World, kind: str, path: str) -> None:
    """The same change, bare: once in ZooKeeper, once in etcd."""
    _change(on, kind, path)
    kv, key = rpc.KVStub(on.channel), path.encode()
    if kind == "delete":
        kv.DeleteRange(rpc.DeleteRangeRequest(key=key), timeout=WAIT_SECONDS)
    else:
        kv.Put(rpc.PutRequest(key=key, value=b"value"), timeout=WAIT_SECONDS)
