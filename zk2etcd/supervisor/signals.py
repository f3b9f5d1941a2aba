"""The supervisor's signals: handlers only enqueue, the loop acts (gunicorn's arbiter).

A pipe that the interpreter itself writes to at a signal ends the loop's wait at once. The same
pipe lets other threads wake the loop.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from types import FrameType
from typing import Self

from zk2etcd.process import stacks

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
_CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Inbox:
    """A context: inside it signals collect, and `fileno` is readable when there is something.

    `children`: also wake up when a child ends, for PID 1, which inherits others' children.
    Enter it in the main thread.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._numbers = _CAUGHT + ((signal.SIGCHLD,) if children else ())
        self._arrived: collections.deque[signal.Signals] = collections.deque()
        self._restore = contextlib.ExitStack()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._restore.callback(signal.set_wakeup_fd, before)
        for number in self._numbers:
            self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        stacks.install(chain=True)
        self._restore.callback(stacks.uninstall)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore.close()
        os.close(self._writer)
        os.close(self._reader)

    def fileno(self) -> int:
        return self._reader

    def wake(self) -> None:
        """End the loop's wait, from any thread while the inbox is open."""
        with contextlib.suppress(BlockingIOError):  # full: it will wake up anyway
            os.write(self._writer, b"\0")

    def take(self) -> list[signal.Signals]:
        """The signals that arrived since the last call, in their order."""
        with contextlib.suppress(BlockingIOError):
            while os.read(self._reader, 4096):
                pass
        return [self._arrived.popleft() for _ in range(len(self._arrived))]

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number))
