"""The end of a process that a person asked for twice, or once by Ctrl-C, whatever it hangs on.

Ctrl-C becomes a KeyboardInterrupt wherever the main thread is just then. In a callback or a
destructor Python swallows it; and a library's clean-up may wait for what never comes. So a thread
that does nothing else ends the process if it is still there a while later.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from types import FrameType

INTERRUPTED = 130
PATIENCE = 1.5
"""Seconds that a command has, after Ctrl-C, to end by itself."""
_came: list[int] = []
_STDERR = 2


class LastResort:
    """Ends the process `patience` seconds after `arm`, unless `close` comes first."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._reader, self._writer = os.pipe2(os.O_CLOEXEC)

    def start(self) -> None:
        threading.Thread(target=self._wait, name="last-resort", daemon=True).start()

    def arm(self) -> None:
        """Callable from a signal handler: it takes no lock."""
        os.write(self._writer, b"\0")

    def close(self) -> None:
        os.close(self._writer)

    def _wait(self) -> None:
        armed = os.read(self._reader, 1)
        if armed and not select.select([self._reader], [], [], self._patience)[0]:
            _show_cursor()
            os._exit(INTERRUPTED)
        os.close(self._reader)


def _show_cursor() -> None:
    """A bar that is drawn has hidden it. Not where that would wait, or show as text."""
    draws = os.isatty(_STDERR) and os.environ.get("TERM", "dumb") != "dumb"
    if draws and select.select([], [_STDERR], [], 0)[1]:
        os.write(_STDERR, b"\x1b[?25h")


def is_asked_for() -> bool:
    """Whether a Ctrl-C came since `by_interrupts`."""
    return bool(_came)


def by_interrupts() -> None:
    """Have Ctrl-C end this process soon, a second one at once. Where it is ignored, or caught, it
    stays so."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    last = LastResort(PATIENCE)
    last.start()

    def interrupted(number: int, frame: FrameType | None) -> None:
        if _came:
            os._exit(INTERRUPTED)
        _came.append(number)
        last.arm()
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, interrupted)
