"""One process of the sandbox: a port, a folder, a log, and an end by its own pid.

Servers here are killed, frozen and restarted on purpose, so a restart keeps port and data, and
what dies with us is arranged with the kernel, not hoped for.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from zk2etcd import errors

READY_SECONDS = 60.0
POLL_SECONDS = 0.02

PORTS = range(20_000, 32_000)
"""Below Linux's ephemeral range: a client that knocks at a stopped server's port again and again
could otherwise be handed that very port as its own, connect to itself, and block the restart."""

_given = set[int]()
"""To servers that may not listen yet, or not right now."""


def free_port(wanted: int | None = None) -> int:
    """A port of 127.0.0.1 that nothing listens on right now, and that was not given before:
    `wanted` if nothing listens there.

    Raises errors.StartError when a hundred tries found none.
    """
    if len(_given) > len(PORTS) // 2:
        _given.clear()
    for attempt in range(100):
        port = wanted if wanted is not None and attempt == 0 else random.choice(PORTS)
        if port in _given and port != wanted:
            continue
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            # As the servers do: connections that ended a moment ago do not hold a port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            _given.add(port)
            return port
    raise errors.StartError(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


class Server:
    """One server process with its folder and log; restarts keep port and data."""

    name = "server"
    stop_seconds = 10.0

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = READY_SECONDS) -> None:
        """Start, and return once it answers. Raises errors.StartError with the end of its log."""
        self.launch()
        self.wait_ready(timeout)

    def launch(self) -> None:
        """Start without waiting, so that several servers can come up side by side."""
        if self.alive:
            return
        self.data.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_bound_to_us(), *self.command()],
                cwd=self.folder,
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which ends its servers in order
            )

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + timeout
        while not self.ready():
            if not self.alive or time.monotonic() > deadline:
                end = self.log.read_text("utf-8", "replace")[-2000:]
                self.kill()
                raise errors.StartError(f"{self.name} at {self.address} did not start:\n{end}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it in good order; killed if that takes longer than `stop_seconds`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what it had not written is lost, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers. Returns when all its threads stand."""
        self.signal(signal.SIGSTOP)
        # The signal takes its time on a busy machine. Left waitable, since it may also have ended.
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        self._running().send_signal(number)

    def wipe(self) -> None:
        """Throw all data away, as a restore from nothing does; only while stopped."""
        if self.alive:
            raise errors.UsageError(f"{self.name} is running: stop it before its data is wiped")
        shutil.rmtree(self.data, ignore_errors=True)

    def command(self) -> list[str]:
        raise errors.UsageError(f"{type(self).__name__} has no command")

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def ready(self) -> bool:
        return self.alive

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise errors.UsageError(f"{self.name} is not running")
        return self._process


def _bound_to_us() -> list[str]:
    """A prefix that makes the kernel end the server when we die without a chance to clean up.

    The kernel looks at the *thread* that started it, so only the main thread may ask for this.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "KILL"]
