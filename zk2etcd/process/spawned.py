"""One spawned child: start it, talk with it, see it end, kill it. Restart policy is elsewhere."""

from __future__ import annotations

import contextlib
import os

import psutil

from zk2etcd import messages
from zk2etcd.process import ahead, channel


class Child:
    """A running process and its channel. Start it from the main thread only (see
    `bootstrap.die_with_parent`).

    `target` names a function of (messages.WorkerSpec, Connection) as "package.module.function".
    Raises OSError when the system gives no process.
    """

    def __init__(self, spec: messages.WorkerSpec, target: str = ahead.WORKER) -> None:
        started = ahead.taken(target)
        self._process = started.process
        assert self._process.pid is not None
        self.pid: int = self._process.pid
        self.channel = channel.Channel(started.end)
        self.channel.send(spec)
        # Looked up when first asked for: it needs a descriptor, and the child runs without it.
        self._psutil: psutil.Process | None = None

    @property
    def sentinel(self) -> int:
        """A descriptor that becomes readable when the process ended."""
        return self._process.sentinel

    def exit_code(self) -> int | None:
        """The exit status (a signal as -N) of a process that ended and is reaped now, else None."""
        return self._process.exitcode

    def kill(self) -> None:
        """SIGKILL; nothing if it has ended."""
        self._process.kill()

    def usage(self) -> tuple[int, float] | None:
        """(resident bytes, CPU seconds), None when the process has ended.

        Raises OSError when the system does not let us look: for want of a descriptor, of memory.
        """
        try:
            known = self._psutil = self._psutil or psutil.Process(self.pid)
            with known.oneshot():
                times = known.cpu_times()
                return known.memory_info().rss, times.user + times.system
        except psutil.Error:
            return None

    def close(self) -> None:
        """Give back the descriptors. The process must have been reaped."""
        self.channel.close()
        self._process.close()


def reap_orphans(known: frozenset[int]) -> int:
    """As PID 1: reap ended processes that were handed to us, and leave the `known` pids alone.

    How many were reaped. WNOWAIT looks before it takes, since taking a child of multiprocessing
    would lose its exit status; a known one at the head of the line is for its owner to reap first.
    """
    count = 0
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return count
        if found is None or found.si_pid in known | ahead.pids():
            return count
        with contextlib.suppress(ChildProcessError):
            os.waitpid(found.si_pid, os.WNOHANG)
        count += 1
