"""A command on a terminal of its own: what it draws, in which size, and Ctrl-C."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Self

_ESCAPES = re.compile(rb"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[=>]|\x1b\][^\x07]*\x07")


class Terminal:
    """Runs `command` with its output, or only what it says on stderr, on a terminal."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        columns: int = 100,
        stdout: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """:param stdout: False leads stdout to a pipe, `data`."""
        self._screen, terminal = pty.openpty()
        self._size(terminal, columns)
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.child = subprocess.Popen(
            command,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "", **(env or {})},
            stdin=terminal,
            stdout=terminal if stdout else subprocess.PIPE,
            stderr=terminal,
        )
        os.close(terminal)
        self.raw = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait(10)
        if self.child.stdout is not None:
            self.child.stdout.close()
        os.close(self._screen)

    @property
    def text(self) -> str:
        """All that was drawn so far, without what only moves the cursor or colours."""
        return _ESCAPES.sub(b"", self.raw).decode("utf-8", "replace")

    @property
    def data(self) -> str:
        """What came on stdout; once the command has ended."""
        assert self.child.stdout is not None
        return self.child.stdout.read().decode()

    def resize(self, columns: int) -> None:
        self._size(self._screen, columns)

    def until(self, pattern: str, timeout: float = 15.0) -> str:
        """Read until what is drawn from now on matches; that."""
        before, deadline = len(self.raw), time.monotonic() + timeout
        while True:
            drawn = _ESCAPES.sub(b"", self.raw[before:]).decode("utf-8", "replace")
            if re.search(pattern, drawn, re.DOTALL):
                return drawn
            left = deadline - time.monotonic()
            shown = "\n".join(line for line in drawn.split("\r\n") if line.strip())[-2000:]
            assert left > 0, f"no {pattern!r} on the terminal within {timeout:g} s: {shown}"
            assert self._read(left), f"the command ended without {pattern!r}: {shown}"

    def interrupt(self, timeout: float = 10.0) -> int:
        """Ctrl-C; the exit code."""
        self.child.send_signal(signal.SIGINT)
        return self.end(timeout)

    def end(self, timeout: float = 20.0) -> int:
        """Read on until the command has ended; its exit code."""
        deadline = time.monotonic() + timeout
        while self.child.poll() is None and time.monotonic() < deadline:
            self._read(0.05)
        code = self.child.wait(max(0.0, deadline - time.monotonic()))
        while self._read(0):
            pass
        return code

    def _read(self, seconds: float) -> bool:
        """Take in what is there; False once nobody writes any more."""
        if not select.select([self._screen], [], [], seconds)[0]:
            return seconds > 0
        part = b""
        with contextlib.suppress(OSError):  # Linux says EIO when the other end is closed
            part = os.read(self._screen, 65536)
        self.raw += part
        return bool(part)

    def _size(self, descriptor: int, columns: int) -> None:
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
