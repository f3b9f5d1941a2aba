"""Signals that come before the supervisor listens to them.

Python takes some tenths of a second to load what a supervisor needs, and by default SIGHUP, SIGUSR1
and SIGUSR2 end a process; systemd counts an end by SIGHUP as a clean one, and would not start it
again. So they are kept from the first line on, for the supervisor to obey once it can. Only what
comes while Python itself starts is not heard.

Nothing may be imported here that takes time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from types import FrameType

from zk2etcd import ending

STOP = frozenset({signal.SIGTERM, signal.SIGINT})
CAUGHT = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_arrived: list[int] = []


def listen(arguments: Sequence[str]) -> None:
    """Keep what comes from now on, if these arguments start a supervisor. What whoever started us
    had ignored (nohup, a shell's background) stays so until the supervisor listens."""
    if not supervises(arguments):
        return
    for number in CAUGHT:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _keep)


def taken() -> list[signal.Signals]:
    """What came until now, in its order; once."""
    found = [signal.Signals(number) for number in _arrived]
    _arrived.clear()
    return found


def supervises(arguments: Sequence[str]) -> bool:
    """Whether these arguments start a supervisor, if they are right."""
    first = next((each for each in arguments if each != "--debug"), "")
    if first in ("-h", "--help", "--version"):
        return False
    return first in ("run", "sync") or first.startswith("-")


def _keep(number: int, _frame: FrameType | None) -> None:
    if number in STOP and not STOP.isdisjoint(_arrived):  # a second one does not wait
        os._exit(ending.INTERRUPTED)
    _arrived.append(number)
