"""The stacks of every thread of every process: on stderr at SIGUSR2, or gathered over HTTP.

A thread of each process waits for the signals and does nothing else, so it answers whatever the
loops do; it holds the interpreter's lock while faulthandler writes. What faulthandler writes from
its own signal handler it reads without that lock, while the other threads go on, and with busy ones
the process is now and then ended by that (Python 3.11: one time in some hundred). So that way is
kept for a process whose interpreter itself is stuck, where nothing moves: SIGURG, which `gather`
sends to one that gave no answer. For it each worker keeps a file of its own open in the metrics'
private folder, which signals fill that harm nobody who does not know them.
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
from collections.abc import Callable, Collection, Mapping

from zk2etcd.logs import stderr

SIGNAL = signal.SIGUSR2
FILE_SIGNAL, STUCK_SIGNAL = signal.SIGWINCH, signal.SIGURG
"""Ignored by a process that has no handler for them."""
PATIENCE = 2.0
_STUCK_SECONDS = 0.5
"""Of this patience are left for who has to be asked by STUCK_SIGNAL."""
_MOST = 1024 * 1024
_LOOK_AGAIN = 0.02
# Each process writes its stacks in many small pieces; taking turns keeps them apart.
_TURN_SECONDS = 0.05
_ASKED_BY = frozenset({SIGNAL, FILE_SIGNAL})
_gathering = threading.Lock()


class Writer:
    """Has this process's stacks written when a signal asks for them: to stderr at SIGNAL, to the
    file of `keep`, where there is one, at FILE_SIGNAL. `then` is called after the first, by a
    thread of its own.

    Make it in the main thread, before other threads start: one that does not block the signals may
    be given them, and what it takes is written only when the main thread comes to it, or never.
    """

    def __init__(self, then: Callable[[], object] = lambda: None) -> None:
        self._then = then
        self._file: int | None = None
        self._over = False
        self._unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, _ASKED_BY)
        self._before = signal.signal(SIGNAL, lambda number, _: self._write(number))
        faulthandler.register(STUCK_SIGNAL, file=_stderr(), all_threads=True)
        self._thread = threading.Thread(target=self._serve, name="stacks", daemon=True)
        self._thread.start()

    def keep(self, directory: str, slot: str) -> None:
        """Let `gather` have this process's stacks. The file stays open, and is empty until then."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self._file = os.open(_file(directory, slot), flags, 0o600)
        faulthandler.register(STUCK_SIGNAL, file=self._file, all_threads=True)

    def close(self) -> None:
        """Leave all as it was before. From the main thread."""
        self._over = True
        assert self._thread.ident is not None
        signal.pthread_kill(self._thread.ident, SIGNAL)
        self._thread.join()
        faulthandler.unregister(STUCK_SIGNAL)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._unblocked)
        signal.signal(SIGNAL, self._before)

    def _serve(self) -> None:
        while True:
            number = signal.sigwait(_ASKED_BY)
            if self._over:
                return
            self._write(number)

    def _write(self, number: int) -> None:
        file = _stderr() if number == SIGNAL else self._file
        if file is not None:
            faulthandler.dump_traceback(file, all_threads=True)
        if number == SIGNAL:
            self._then()


@functools.cache
def _stderr() -> int:
    """Kept open: a signal handler has no time to wait for a reader, or to open anything."""
    return stderr.unblocking()


def ask(children: Mapping[str, int]) -> None:
    """Have each child, slot -> pid, write its stacks, under a line that names it."""
    for slot, pid in children.items():
        with contextlib.suppress(OSError):  # a pipe that nobody reads
            os.write(_stderr(), f"--- stacks of worker {slot} (pid {pid})\n".encode())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, SIGNAL)
        time.sleep(_TURN_SECONDS)


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
        deadline = time.monotonic() + patience
        asked = {slot: pid for slot, pid in children.items() if _asked(directory, slot, pid)}
        found = _written(directory, asked, deadline - _STUCK_SECONDS)
        stuck = [pid for slot, pid in asked.items() if slot not in found and not _stopped(pid)]
        for pid in stuck:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, STUCK_SIGNAL)
        return _written(directory, asked, deadline)


def _asked(directory: str, slot: str, pid: int) -> bool:
    """Only one that keeps a file is sent the signal."""
    try:
        os.truncate(_file(directory, slot), 0)
        os.kill(pid, FILE_SIGNAL)
    except OSError:
        return False
    return True


def _stopped(pid: int) -> bool:
    """What is stopped, or gone, would write as soon as it goes on, with all its threads busy."""
    try:
        status = pathlib.Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return True
    return status.rpartition(")")[2].split()[0] in "Tt"


def _written(directory: str, slots: Collection[str], deadline: float) -> dict[str, str]:
    """What these have written, once all have or the deadline is there."""
    found: dict[str, str] = {}
    while True:
        late = time.monotonic() >= deadline
        missing = [slot for slot in slots if slot not in found]
        found.update((slot, text) for slot in missing if (text := _whole(directory, slot)))
        if late or len(found) == len(slots):
            return found
        time.sleep(_LOOK_AGAIN)


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
