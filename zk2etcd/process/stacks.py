"""The stacks of every thread of every process: on stderr at SIGUSR2, or gathered over HTTP.

faulthandler writes them from the signal handler itself, in C, so also of a process whose loop
hangs: the very case in which one asks. For the second way each worker keeps a file of its own open
in the metrics' private folder, which a signal fills that harms nobody who does not know it.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import os
import pathlib
import signal
import threading
import time
from collections.abc import Mapping

from zk2etcd.logs import stderr

SIGNAL = signal.SIGUSR2
FILE_SIGNAL = signal.SIGURG
"""Ignored by a process that has no handler for it."""
PATIENCE = 2.0
_MOST = 1024 * 1024
_LOOK_AGAIN = 0.02
# Each process writes its stacks in many small pieces; taking turns keeps them apart.
_TURN_SECONDS = 0.05
_gathering = threading.Lock()


def install(*, chain: bool = False) -> None:
    """Dump this process's stacks at SIGUSR2; with `chain` the handler set before runs too."""
    faulthandler.register(SIGNAL, file=_stderr(), all_threads=True, chain=chain)


@functools.cache
def _stderr() -> int:
    """Kept open: a signal handler has no time to wait for a reader, or to open anything."""
    return stderr.unblocking()


def uninstall() -> None:
    faulthandler.unregister(SIGNAL)


def ask(children: Mapping[str, int]) -> None:
    """Have each child, slot -> pid, write its stacks, under a line that names it."""
    for slot, pid in children.items():
        with contextlib.suppress(OSError):  # a pipe that nobody reads
            os.write(_stderr(), f"--- stacks of worker {slot} (pid {pid})\n".encode())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
        time.sleep(_TURN_SECONDS)


def keep(directory: str, slot: str) -> None:
    """Let `gather` have this process's stacks. The file stays open, and is empty until then."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(_file(directory, slot), flags, 0o600)
    faulthandler.register(FILE_SIGNAL, file=descriptor, all_threads=True)


def own() -> str:
    """The stacks of this process. Callable from any of its threads, whatever the others do."""
    with os.fdopen(os.memfd_create("stacks"), "w+b") as file:  # no disk can be full
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read(_MOST).decode("utf-8", "replace")


def gather(
    directory: str, children: Mapping[str, int], patience: float = PATIENCE
) -> dict[str, str]:
    """The stacks of each child, slot -> pid, that writes them within `patience` seconds; the
    others, stopped ones for example, are not in it."""
    with _gathering:
        asked = [slot for slot, pid in children.items() if _asked(directory, slot, pid)]
        deadline = time.monotonic() + patience
        found: dict[str, str] = {}
        for slot in asked:
            while slot not in found and time.monotonic() < deadline:
                if text := _whole(directory, slot):
                    found[slot] = text
                else:
                    time.sleep(_LOOK_AGAIN)
        return found


def _asked(directory: str, slot: str, pid: int) -> bool:
    """Only one that keeps a file is sent the signal."""
    try:
        os.truncate(_file(directory, slot), 0)
        os.kill(pid, FILE_SIGNAL)
    except OSError:
        return False
    return True


def _whole(directory: str, slot: str) -> str:
    """What was written, once no more comes."""
    try:
        with _file(directory, slot).open("rb") as file:
            first = file.read(_MOST)
            time.sleep(_LOOK_AGAIN)
            return "" if file.read(1) or not first else first.decode("utf-8", "replace")
    except OSError:  # taken away meanwhile
        return ""


def _file(directory: str, slot: str) -> pathlib.Path:
    return pathlib.Path(directory, f"stacks-{slot}.txt")
