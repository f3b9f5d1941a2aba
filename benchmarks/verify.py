"""A full sync that finds nothing to do, beside bulk-reading both sides bare."""

from __future__ import annotations

import subprocess
import time

from benchmarks import figures, world
from zk2etcd.sandbox import supervisor as supervisors


def measure(on: world.World, source: str, nodes: int, runs: int) -> list[figures.Figure]:
    """`source` holds `nodes` nodes already; they are mirrored first, untimed."""
    ours: list[float] = []
    bare: list[float] = []
    on.empty_etcd()
    with on.supervisor(source) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        for _ in range(runs):
            bare.append(_bare(on, source, nodes))
            ours.append(full_sync(supervisor, source))
    return [figures.ratio(f"full sync of {nodes:,} nodes, nothing to do", ours, bare, 1.5)]


def _bare(on: world.World, source: str, nodes: int) -> float:
    with on.bare("bare_read", source, source, stdout=subprocess.PIPE) as reader:
        seconds, *sizes = reader.communicate(timeout=world.TIMEOUT)[0].split()
    if [int(size) for size in sizes] != [nodes, nodes]:
        raise AssertionError(f"read {sizes} instead of {nodes}")
    return float(seconds)


def full_sync(supervisor: supervisors.Supervisor, source: str) -> float:
    """Ask for a full sync; the seconds that the mirror says it took."""
    before = supervisor.shards()[source]["last_full_sync"]
    status, text = supervisor.ask("/full-sync", {})
    if status not in (200, 202):
        raise AssertionError(f"/full-sync answered {status}: {text}")
    deadline = time.monotonic() + world.TIMEOUT
    while (last := supervisor.shards()[source]["last_full_sync"]) == before:
        if time.monotonic() > deadline:
            raise AssertionError("the full sync did not end")
        time.sleep(0.2)
    if last["put"] or last["delete"]:
        raise AssertionError(f"there was something to do: {last}")
    return float(last["took_seconds"])
