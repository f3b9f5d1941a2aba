"""A lost connection to ZooKeeper before 3.6, over which nothing was lost: how soon all is watched
again, and the mirror follows. By its own log, which tells it before anybody could ask for it.
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
_RUNS = 7
"""At least: the server works faster from the third on."""


def measure(on: world.World, source: str, nodes: int, runs: int) -> figures.Figure:
    """`source` holds `nodes` nodes, which are mirrored first, untimed."""
    on.empty_etcd()
    with proxy.Proxy(on.zookeeper.address) as way, on.supervisor(source) as supervisor:
        content = supervisor.content
        content["zookeeper"] = {**content["zookeeper"], "hosts": [way.address]}
        supervisor.configure(content)
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        times = [_reconnected(way, supervisor) for _ in range(max(runs, _RUNS) if runs > 1 else 1)]
    detail = "; ".join(f"{each:.2f} s ({how})" for each, how in times)
    seconds = sorted(each for each, _ in times)[len(times) // 2]
    return figures.Figure(f"reconnect, {nodes:,} unchanged", seconds, "s", _BOUND, detail)


def _reconnected(way: proxy.Proxy, supervisor: supervisors.Supervisor) -> tuple[float, str]:
    """Seconds from the cut, and what it did."""
    time.sleep(_CLEAN)
    cut = time.time()
    way.cut()
    line = _waited(supervisor, cut, "resumed", "base done")
    if line["event"] == "resumed":
        # Until the walk that follows has ended, another cut would lead to a base.
        _waited(supervisor, cut, "full sync done", "base done")
    return _at(line) - cut, f"{line['event']}, {line['seconds']:.2f} s of it"


def _waited(supervisor: supervisors.Supervisor, since: float, *events: str) -> dict[str, Any]:
    """The first line of these that it said since then."""
    deadline = time.monotonic() + _LONGEST
    while time.monotonic() < deadline:
        for line in _said(supervisor):
            if line["event"] in events and _at(line) >= since:
                return line
        time.sleep(0.05)
    raise AssertionError(f"it says none of {events} within {_LONGEST:g} s")


def _at(line: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(line["timestamp"]).timestamp()


def _said(supervisor: supervisors.Supervisor) -> Iterator[dict[str, Any]]:
    for line in supervisor.log.read_text("utf-8").splitlines():
        if line.startswith("{"):
            yield json.loads(line)
