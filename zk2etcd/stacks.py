"""SIGUSR2: the stacks of every thread of every process, on stderr.

faulthandler writes them from the signal handler itself, in C, so also of a process whose loop
hangs: the very case in which one asks.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import time
from collections.abc import Mapping

SIGNAL = signal.SIGUSR2
_STDERR = 2
# Each process writes its stacks in many small pieces; taking turns keeps them apart.
_TURN_SECONDS = 0.05


def install(*, chain: bool = False) -> None:
    """Dump this process's stacks at SIGUSR2; with `chain` the handler set before runs too."""
    faulthandler.register(SIGNAL, file=_STDERR, all_threads=True, chain=chain)


def uninstall() -> None:
    faulthandler.unregister(SIGNAL)


def ask(children: Mapping[str, int]) -> None:
    """Have each child, slot -> pid, write its stacks, under a line that names it."""
    for slot, pid in children.items():
        os.write(_STDERR, f"--- stacks of worker {slot} (pid {pid})\n".encode())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
        time.sleep(_TURN_SECONDS)
