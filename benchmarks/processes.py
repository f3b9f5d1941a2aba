"""What processes use."""

from __future__ import annotations

import psutil


def family(pid: int) -> list[psutil.Process]:
    """A process and all its children."""
    first = psutil.Process(pid)
    return [first, *first.children(recursive=True)]


def cpu(*processes: psutil.Process) -> float:
    """Seconds of processors that they have used in all."""
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))


def cpu_of(*pids: int) -> float:
    """The same, of these process ids."""
    return cpu(*map(psutil.Process, pids))
