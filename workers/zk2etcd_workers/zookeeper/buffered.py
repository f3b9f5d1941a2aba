"""kazoo's connection with a buffer before its socket: kazoo reads each message in two parts,
with a select for each (about 70 us of CPU an event).

And with fewer calls of the system. Each lets go of the interpreter's lock, and where another thread
computes it comes back a switch interval later: so the socket is tried first, and waited for only if
that was too soon.
"""

from __future__ import annotations

import collections
import contextlib
import io
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

import kazoo.exceptions
import kazoo.protocol.connection

from zk2etcd_workers.zookeeper import protocol
from zk2etcd_workers.zookeeper.classic import arming, train

T = TypeVar("T")

_MOST_XID = 2**31 - 1
_KAZOO_KNOWS = 0.1
"""Seconds from one request that kazoo's own loop sends to the next, if there are some."""
_ENCODES_ITSELF = protocol.MultiRead | train.Train | arming.SetWatches

_LENGTH = struct.Struct(">i")
RECEIVE = 256 * 1024
"""Bytes that are taken off the socket at once, at most."""


class Buffered(kazoo.protocol.connection.ConnectionHandler):  # type: ignore[misc]
    """`_received`: what has arrived, and was not read yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._received = bytearray()
        self._xid: int
        self._reading = False
        self._unwoken = collections.deque[None]()
        """One for each request that was queued without a byte to wake this thread."""
        self._woken_at = self._send_timeout = 0.0

    # --- sending -----------------------------------------------------------------------------

    def _send_request(self, read_timeout: float, connect_timeout: float) -> None:
        """What encodes itself goes out as it is, a train as so many requests; all else as kazoo
        does it, which copies a request of 128 KiB twice."""
        self._woken_at, self._send_timeout = time.monotonic(), connect_timeout
        queue = self.client._queue
        request, result = queue[0] if queue else (None, None)
        if not isinstance(request, _ENCODES_ITSELF):
            super()._send_request(read_timeout, connect_timeout)
            return
        self._send_itself(request, result, connect_timeout)
        self._read_sock.recv(1)

    def _send_itself(self, request: Any, result: Any, timeout: float) -> None:
        """The first of kazoo's queue, one that encodes itself."""
        weight = getattr(request, "weight", 1)
        if self._xid + weight > _MOST_XID:
            self._xid = 0
        first, self._xid = self._xid + 1, self._xid + weight
        self._write(request.encode(first), timeout)
        self.client._queue.popleft()
        self.client._pending.append((request, result, first))

    @property
    def may_be_spared(self) -> bool:
        """Whether a request may be queued without a byte to wake this thread. Now and then it is
        woken all the same: kazoo pings when it has sent nothing for a while, as far as it knows."""
        return self._reading and time.monotonic() - self._woken_at < _KAZOO_KNOWS

    def queued(self, result: Any) -> None:
        """A request was queued, from any thread. While this thread takes what has arrived it looks
        for others before it waits again; else it is woken."""
        self._unwoken.append(None)
        if self._reading or not self._is_owed_one():
            return  # It will look, or has looked since.
        try:
            self._write_sock.send(b"\0")
        except (AttributeError, OSError):
            closed = kazoo.exceptions.ConnectionClosedError("the connection was closed")
            result.set_exception(closed)

    def _send_unwoken(self) -> None:
        """As many requests as came without a byte; other ones than these, if they are before them:
        then that one's byte is for the last. No more of them come without one once `_reading` is
        unset, so none that did is missed here."""
        queue = self.client._queue
        while self._is_owed_one():
            request, result = queue[0] if queue else (None, None)
            if isinstance(request, _ENCODES_ITSELF):
                self._send_itself(request, result, self._send_timeout)
            elif queue:
                self._write_sock.send(b"\0")

    def _is_owed_one(self) -> bool:
        """Whether one more request came without a byte; it is not owed any more. From any thread:
        only one of those who ask is told so."""
        try:
            self._unwoken.pop()
        except IndexError:
            return False
        return True

    def _forget_wakes(self) -> None:
        """Requests that failed with the last connection left their wake-up bytes behind."""
        while self.handler.select([self._read_sock], [], [], 0)[0]:
            self._read_sock.recv(4096)
        self._unwoken.clear()
        for _ in range(len(self.client._queue)):
            self._write_sock.send(b"\0")

    def _write(self, msg: Any, timeout: float) -> None:
        with self._socket_error_handling():
            sent = self._tried(lambda: self._socket.send(msg, socket.MSG_DONTWAIT)) or 0
        if sent < len(msg):
            super()._write(memoryview(msg)[sent:], timeout)

    # --- receiving ---------------------------------------------------------------------------

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
            chunk = self._tried(lambda: self._socket.recv(most, socket.MSG_DONTWAIT))
            while chunk is None:
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

    def _tried(self, call: Callable[[], T]) -> T | None:
        """What it gives without a wait; None if it would have to. A TLS socket takes no flags."""
        if not isinstance(self._socket, ssl.SSLSocket):
            with contextlib.suppress(BlockingIOError, InterruptedError):
                return call()
        return None

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
