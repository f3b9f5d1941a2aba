"""Memory as the operator pays for it: PSS, summed over the supervisor and its workers."""

from __future__ import annotations

import time

from benchmarks import figures, processes, world
from zk2etcd.sandbox import supervisor as supervisors

MIB = 1024 * 1024
SETTLE_SECONDS = 3.0
IDLE = ("/idle1", "/idle2")


def idle(on: world.World) -> list[figures.Figure]:
    """A supervisor and two workers, each with a prefix that holds one node."""
    on.empty_etcd()
    for path in IDLE:
        on.writer.create(path)
    with on.supervisor(*IDLE) as supervisor:
        supervisor.start()
        supervisor.wait_following()
        return [_figure(supervisor, "memory idle, 2 workers", 250.0)]


def following(
    on: world.World, source: str, nodes: int, target: float | None
) -> list[figures.Figure]:
    """After the first full sync of `nodes` nodes below `source`, while following."""
    on.empty_etcd()
    with on.supervisor(source) as supervisor:
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        return [_figure(supervisor, f"memory following {nodes:,} nodes", target)]


def _figure(supervisor: supervisors.Supervisor, name: str, target: float | None) -> figures.Figure:
    time.sleep(SETTLE_SECONDS)
    count = 1 + len(supervisor.worker_pids())
    detail = f"PSS of {count} processes"
    return figures.Figure(name, _resident(supervisor.pid) / MIB, "MiB", target, detail)


def _resident(pid: int) -> int:
    """The proportional set size of a process and all its children, in bytes: pages shared by n
    processes count a n-th each."""
    return sum(process.memory_full_info().pss for process in processes.family(pid))
