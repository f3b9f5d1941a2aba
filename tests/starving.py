"""Processes that get little processor time, as under a container's limit: they run for a part of
each tenth of a second, all their threads, and stand still for the rest of it."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator

_PERIOD = 0.1


@contextlib.contextmanager
def starving(pids: Callable[[], Iterable[int]], share: float) -> Iterator[None]:
    """Of one core, for each of the processes that there are at the time."""
    over = threading.Event()

    def send(number: signal.Signals) -> None:
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def run() -> None:
        while not over.is_set():
            send(signal.SIGCONT)
            over.wait(_PERIOD * share)
            send(signal.SIGSTOP)
            over.wait(_PERIOD * (1 - share))
        send(signal.SIGCONT)

    thread = threading.Thread(target=run, name="starving", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
