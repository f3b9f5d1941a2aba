"""What a thread rings when the worker's loop should look, and not only at its next turn."""

from __future__ import annotations

import contextlib
import os
import threading


class Bell:
    """Rung by any thread, heard by one that waits for the file descriptor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._file: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """Readable once it was rung.

        :raises ValueError: it is closed.
        """
        if self._file is None:
            raise ValueError("the bell is closed")
        return self._file

    def ring(self) -> None:
        """Nothing happens once it is closed: another file may have the number by then."""
        with self._lock:
            if self._file is not None:
                os.eventfd_write(self._file, 1)

    def was_rung(self) -> bool:
        """Since the last time that this was asked."""
        with contextlib.suppress(BlockingIOError):
            return os.eventfd_read(self.fileno()) > 0
        return False

    def close(self) -> None:
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None
