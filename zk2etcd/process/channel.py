"""One end of a pipe to a worker that can never make the supervisor wait.

`multiprocessing.connection.Connection` blocks in `send` while the other side does not read, and
in `recv` in the middle of a message: one stopped worker would hang all. This is the same wire
format, so the worker keeps its ordinary Connection, read and written without blocking.
"""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterator
from multiprocessing import connection

# A worker that leaves this many bytes unread takes no messages any more: it is hung.
MOST_UNSENT = 16 * 1024 * 1024
# A report of 16 MiB is a bug (or a corrupted length), not a report.
_MOST_FRAME = 16 * 1024 * 1024
_READ = 256 * 1024
_MOST_READS = 64
_HEADER = struct.Struct("!i")


class Channel:
    """Owns `end`. `broken` says why nothing can cross any more; None while all is well."""

    def __init__(self, end: connection.Connection) -> None:
        self._end = end
        self._fd = end.fileno()
        self._unsent = bytearray()
        self._received = bytearray()
        self.broken: str | None = None
        os.set_blocking(self._fd, False)

    def fileno(self) -> int:
        return self._fd

    @property
    def wants_write(self) -> bool:
        return bool(self._unsent) and self.broken is None

    def send(self, message: object) -> None:
        """Queue the message and write what fits. Never blocks; see `broken`."""
        if self.broken is not None:
            return
        frame = pickle.dumps(message)
        self._unsent += _HEADER.pack(len(frame)) + frame
        self.flush()
        if len(self._unsent) > MOST_UNSENT:
            self.broken = f"{len(self._unsent)} bytes unread by the worker"

    def flush(self) -> None:
        """Write what fits of what waits."""
        try:
            while self.wants_write:
                del self._unsent[: os.write(self._fd, self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = f"cannot write to the worker: {error.strerror}"

    def receive(self) -> list[object]:
        """All whole messages that are there, [] for none. Never blocks; see `broken`."""
        if self.broken is None:
            self._fill()
        return list(self._frames())

    def close(self) -> None:
        self.broken = self.broken or "closed"
        self._end.close()

    def _fill(self) -> None:
        try:
            for _ in range(_MOST_READS):
                data = os.read(self._fd, _READ)
                if not data:
                    self.broken = "the worker closed its end"
                    return
                self._received += data
        except BlockingIOError:
            return
        except OSError as error:
            self.broken = f"cannot read from the worker: {error.strerror}"

    def _frames(self) -> Iterator[object]:
        while len(self._received) >= _HEADER.size:
            (length,) = _HEADER.unpack_from(self._received)
            if not 0 <= length <= _MOST_FRAME:
                self._spoil(f"a message of {length} bytes")
                return
            end = _HEADER.size + length
            if len(self._received) < end:
                return
            frame = bytes(self._received[_HEADER.size : end])
            del self._received[:end]
            try:
                message = pickle.loads(frame)
            except Exception as error:  # whatever a damaged pickle raises must not stop us
                self._spoil(f"a message that cannot be read: {error!r}")
                return
            yield message

    def _spoil(self, reason: str) -> None:
        self._received.clear()
        self.broken = reason
