"""A worker's process that is started before it is known what it shall do.

To load what a worker needs takes as long as all that a supervisor does before its first worker. So
the first one's interpreter is started before anything else, and told its spec when there is one.
Such a process has done nothing yet but to load; who does not need it may kill it at any time.

Spawn and never fork: grpc and kazoo run threads, and a fork copies their locks (grpc's
doc/fork_support.md, kazoo#519). Nothing may be imported here that takes time.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections.abc import Iterator
from multiprocessing import connection, resource_tracker

WORKER = "zk2etcd_workers.main.main"

# Blocked by the supervisor around the spawn, so that none strikes before its handler stands.
GUARDED_SIGNALS = frozenset(
    {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2}
)
_GONE_SECONDS = 2.0

_waiting: list[Interpreter] = []


class Interpreter:
    """A process that loads `target`, "package.module.function", then waits for its spec, the first
    message at the other end of `end`. Start it from the main thread only (see
    `bootstrap.die_with_parent`).

    Raises OSError when the system gives no process.
    """

    def __init__(self, target: str = WORKER) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.target = target
        context = multiprocessing.get_context("spawn")
        self.end, theirs = context.Pipe(duplex=True)
        self.process = context.Process(
            target=enter, args=(target, theirs, os.getpid()), daemon=True
        )
        try:
            with _spawning():
                self.process.start()
        except BaseException:
            self.end.close()
            raise
        finally:
            theirs.close()

    def discard(self) -> None:
        self.process.kill()
        self.process.join(_GONE_SECONDS)
        self.end.close()
        with contextlib.suppress(ValueError):  # it has not ended yet: Python reaps it some day
            self.process.close()


def enter(target: str, end: connection.Connection, parent: int) -> None:
    """The new process's side."""
    from zk2etcd.process import bootstrap  # noqa: PLC0415 - for the new process to load

    bootstrap.run(target, end, parent)


def begin() -> None:
    """Start an interpreter for the first worker. Without one that worker gets its own later."""
    with contextlib.suppress(OSError):
        _waiting.append(Interpreter())


def taken(target: str) -> Interpreter:
    """One that loads `target`: that which waits, or a new one."""
    for each in _waiting:
        if each.target == target:
            _waiting.remove(each)
            return each
    return Interpreter(target)


def discard() -> None:
    """End what nobody took."""
    while _waiting:
        _waiting.pop().discard()


def pids() -> frozenset[int]:
    """Of those that nobody took yet."""
    return frozenset(each.process.pid for each in _waiting if each.process.pid is not None)


@contextlib.contextmanager
def _spawning() -> Iterator[None]:
    """Start a child with its signals blocked and without our `__main__`.

    A spawned child runs the parent's main script once more to have its names; ours is the command
    line, with click and the HTTP server behind it, which no worker needs.
    """
    resource_tracker.ensure_running()  # starting it later would unblock our signals
    main = sys.modules["__main__"]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, GUARDED_SIGNALS)
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
