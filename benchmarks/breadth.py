"""A node with very many children: what its listing costs in memory, at its peak, for each child."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator, Sequence

from benchmarks import figures, processes, world
from zk2etcd.sandbox import supervisor as supervisors
from zk2etcd_workers.commands import generate

MIB = 1024 * 1024
_NAME = 180
_A_CHILD = 240.0
"""Bytes: the name and its length in the answer, and what a walk keeps of it."""


def measure(on: world.World, sizes: Sequence[int]) -> list[figures.Figure]:
    """First syncs of nodes with so many children, the fewest first."""
    found: list[figures.Figure] = []
    peaks: list[int] = []
    for number, children in enumerate(sizes):
        source = f"/broad{number}"
        on.writer.write(_broad(source, children))
        on.empty_etcd()
        with on.supervisor(source, workers=1) as supervisor:
            supervisor.start()
            supervisor.wait_following(world.TIMEOUT)
            peaks.append(_peak(supervisor))
        name = f"memory of a listing of {children:,} children"
        detail = f"names of {_NAME} characters; peaks of all processes"
        found.append(figures.Figure(name, peaks[-1] / MIB, "MiB", None, detail))
    more, children = peaks[-1] - peaks[0], sizes[-1] - sizes[0]
    detail = f"{more / MIB:.0f} MiB for {children:,} more"
    return [*found, figures.Figure("  a child more", more / children, "B", _A_CHILD, detail)]


def _broad(source: str, children: int) -> Iterator[generate.Item]:
    yield from generate.above(source)
    for number in range(children):
        name = f"dubbo%3A%2F%2F10.0.0.7%3A{number:09}".ljust(_NAME, "x")
        yield generate.Item(generate.join(source, name), b"v")


def _peak(supervisor: supervisors.Supervisor) -> int:
    """The most that each of its processes ever had, summed, in bytes."""
    return sum(_most(each.pid) for each in processes.family(supervisor.pid))


def _most(pid: int) -> int:
    status = pathlib.Path(f"/proc/{pid}/status").read_text("ascii")
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024
