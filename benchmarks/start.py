"""How soon after the start of the process a worker sends its first request, to etcd: a place where
nobody answers listens for it. Beside another build, by turns, if there is one."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import statistics
import sys
import threading
import time

from benchmarks import figures, world
from zk2etcd.sandbox import supervisor as supervisors

_MOST = 0.5
_SHARE = 0.74
"""Of the time of the build of 2026-11-24: 0.68 s on the machine where 0.5 s is asked for."""
_STARTS = 5
"""To each run that is asked for: a start is short, and differs much from the next."""


class _Ear(threading.Thread):
    """Listens; `heard` is when the first byte came (monotonic)."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard: float | None = None
        self.start()

    def run(self) -> None:
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with contextlib.closing(peer):
                peer.recv(1)
                self.heard = time.monotonic()

    def close(self) -> None:
        self._listener.close()


def measure(on: world.World, runs: int, other: pathlib.Path | None) -> list[figures.Figure]:
    """:param other: the folder of another build, with its `.venv`."""
    pythons = [sys.executable] + ([str(other / ".venv/bin/python")] if other else [])
    times: dict[str, list[float]] = {python: [] for python in pythons}
    for python in pythons:
        _first(on, python)  # compiles what is new
    for _ in range(runs * _STARTS):
        for python in pythons:
            times[python].append(_first(on, python))
    ours = times[sys.executable]
    detail = f"median of {len(ours)}, the shortest {figures.seconds(min(ours))}"
    found = [
        figures.Figure("start to the first request", statistics.median(ours), "s", _MOST, detail)
    ]
    for python in pythons[1:]:
        name = "  beside the other build"
        found.append(figures.ratio(name, ours, times[python], _SHARE, beside="there"))
    return found


def _first(on: world.World, python: str) -> float:
    """Seconds from the start of the process to the first byte that it sends to etcd."""
    with contextlib.closing(_Ear()) as ear:
        content = supervisors.settings(on.zookeeper, on.etcd, ["/start"])
        content |= {"etcd": {"endpoints": [ear.url]}, "workers": {"count": 1}}
        made = on.box.adopt(world.Build(on.run_folder(), content, python))
        started = time.monotonic()
        made.launch()
        try:
            while ear.heard is None:
                world.pause(started, 0.002, "no request")
            return ear.heard - started
        finally:
            made.kill()
