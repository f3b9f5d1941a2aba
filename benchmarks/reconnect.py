"""A lost connection to ZooKeeper before 3.6, over which nothing was lost: how soon all is watched
again, and the mirror follows. By its own log, since status is told twice a second.
"""

from __future__ import annotations

import datetime
import json
import time
from collections.abc import Iterator
from typing import Any

from benchmarks import figures, world
from tests import proxy
from zk2etcd.sandbox import supervisor as supervisors

_BOUND = 0.5
_CLEAN = 4.0
"""Seconds of following after which it is known up to where etcd is equal."""
_LONGEST = 120.0


def measure(on: world.World, source: str, nodes: int, runs: int) -> figures.Figure:
    """`source` holds `nodes` nodes, which are mirrored first, untimed."""
    on.empty_etcd()
    with proxy.Proxy(on.zookeeper.address) as way, on.supervisor(source) as supervisor:
        content = supervisor.content
        content["zookeeper"] = {**content["zookeeper"], "hosts": [way.address]}
        supervisor.configure(content)
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        times = [_reconnected(way, supervisor) for _ in range(runs)]
    detail = "; ".join(f"{each:.2f} s ({how})" for each, how in times)
    seconds = sorted(each for each, _ in times)[len(times) // 2]
    return figures.Figure(f"reconnect, {nodes:,} unchanged", seconds, "s", _BOUND, detail)


def _reconnected(way: proxy.Proxy, supervisor: supervisors.Supervisor) -> tuple[float, str]:
    """Seconds from the cut, and what it did."""
    _rests(supervisor)
    time.sleep(_CLEAN)
    cut = time.time()
    way.cut()
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        for line in _said(supervisor):
            at = datetime.datetime.fromisoformat(line["timestamp"]).timestamp()
            if line["event"] in ("resumed", "base done") and at >= cut:
                return at - cut, f"{line['event']}, {line['seconds']:.2f} s of it"
        time.sleep(0.05)
    raise AssertionError(f"it does not follow after {_LONGEST:g} s")


def _rests(supervisor: supervisors.Supervisor) -> None:
    """The walk that follows has ended."""
    deadline = time.monotonic() + _LONGEST
    while any(shard["full_sync_running"] for shard in supervisor.status()["shards"]):
        assert time.monotonic() < deadline, "a full sync does not end"
        time.sleep(0.2)


def _said(supervisor: supervisors.Supervisor) -> Iterator[dict[str, Any]]:
    for line in supervisor.log.read_text("utf-8").splitlines():
        if line.startswith("{"):
            yield json.loads(line)
