"""The supervisor's signals: handlers only enqueue, the loop acts (gunicorn's arbiter).

A pipe that the interpreter itself writes to at a signal ends the loop's wait at once. The same
pipe lets other threads wake the loop.

A second signal to stop must end the process whatever the loop does. The handler still runs while
the loop waits for something (Python calls it when a system call was interrupted), so it wakes a
thread that gives the loop some seconds to kill the workers and to end by itself. The workers die
with us. Only a wait that no signal interrupts, as for a file on a dead NFS server, is beyond this.
"""

from __future__ import annotations

import collections
import contextlib
import os
import signal
from types import FrameType
from typing import Self

from zk2etcd import early, ending
from zk2etcd.process import stacks

STOP = early.STOP
INTERRUPTED = ending.INTERRUPTED
PATIENCE = 3.0
"""Seconds that the loop has, after a second signal to stop, to end the process itself."""


class Inbox:
    """A context: inside it signals collect, and `fileno` is readable when there is something.

    `children`: also wake up when a child ends, for PID 1, which inherits others' children.
    Enter it in the main thread.
    """

    def __init__(self, *, children: bool = False) -> None:
        self._numbers = early.CAUGHT + ((signal.SIGCHLD,) if children else ())
        self._arrived: collections.deque[signal.Signals] = collections.deque()
        self._restore = contextlib.ExitStack()
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._stops = 0
        self._last_resort = ending.LastResort(PATIENCE)

    def __enter__(self) -> Self:
        before = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._restore.callback(signal.set_wakeup_fd, before)
        for number in self._numbers:
            self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        self._restore.callback(stacks.Writer(self._stacks_written).close)
        self._last_resort.start()
        for number in early.taken():
            self._handle(number, None)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore.close()
        self._last_resort.close()
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

    def _stacks_written(self) -> None:
        self._handle(stacks.SIGNAL, None)
        self.wake()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._arrived.append(signal.Signals(number))
        if number in STOP:
            self._stops += 1
            if self._stops == 2:
                self._last_resort.arm()
