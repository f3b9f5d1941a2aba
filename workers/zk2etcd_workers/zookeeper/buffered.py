"""kazoo's connection with a buffer before its socket: kazoo reads each message in two parts,
with a select for each (about 70 us of CPU an event)."""

from __future__ import annotations

import io
import struct
from typing import Any

import kazoo.exceptions
import kazoo.protocol.connection

_LENGTH = struct.Struct(">i")
RECEIVE = 256 * 1024
"""Bytes that are taken off the socket at once, at most."""


class Buffered(kazoo.protocol.connection.ConnectionHandler):  # type: ignore[misc]
    """`_received`: what has arrived, and was not read yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = bytearray()

    def _read(self, length: int, timeout: float) -> bytes:
        if length > RECEIVE:
            return self._read_large(length, timeout)
        received = self._received
        while len(received) < length:
            chunk = self._receive(RECEIVE, timeout)
            if not received and len(chunk) == length:
                return chunk
            received += chunk
        taken = bytes(memoryview(received)[:length])
        del received[:length]
        return taken

    def _read_large(self, length: int, timeout: float) -> bytes:
        """No more than the message, and into its place: a BytesIO hands its buffer out."""
        (whole := io.BytesIO()).write(self._received)
        self._received.clear()
        while (left := length - whole.tell()) > 0:
            whole.write(self._receive(min(RECEIVE, left), timeout))
        return whole.getvalue()

    def _receive(self, most: int, timeout: float) -> bytes:
        """What has arrived, at least one byte."""
        with self._socket_error_handling():
            while True:
                self._wait_for_bytes(timeout)
                try:
                    chunk = self._socket.recv(most)
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError as error:
                    if _wants_more(error):
                        continue
                    raise
                if not chunk:
                    raise kazoo.exceptions.ConnectionDropped("the server closed the connection")
                return bytes(chunk)

    def _wait_for_bytes(self, timeout: float) -> None:
        # A TLS socket may hold bytes that select cannot see.
        if self._hidden() or self.handler.select([self._socket], [], [], timeout)[0]:
            return
        raise self.handler.timeout_exception("socket time-out during read")

    def _hidden(self) -> int:
        return int(getattr(self._socket, "pending", lambda: 0)())

    def _message_waits(self) -> bool:
        received = self._received
        if len(received) >= 4:
            return len(received) >= 4 + int(_LENGTH.unpack_from(received)[0])
        return bool(self._hidden())


def _wants_more(error: OSError) -> bool:
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
