"""kazoo's connection, taught what the mirror needs of it.

kazoo knows only one-shot watches, hides the zxid of replies, forgets the last zxid on expiry, and
builds a selector for each of its several selects a message. This subclass hands every event to
one sink, each reply's zxid to its request, connects at or above a floor, and reads through a
buffer (about 70 us of CPU an event without it). Everything here runs in kazoo's connection thread.
"""

from __future__ import annotations

import select
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import kazoo.client
import kazoo.exceptions
import kazoo.handlers.threading
import kazoo.protocol.connection
import kazoo.retry

from zk2etcd_workers import zk_protocol

_LENGTH = struct.Struct(">i")
_RECEIVE = 256 * 1024
_HANDSHAKE = 3.0


class Owner(Protocol):
    """What the connection tells, and asks, its session."""

    def floor(self) -> int: ...
    def connecting(self) -> None: ...
    def refused(self, host: str, port: int, why: str) -> None: ...
    def event(self, kind: int, path: bytes) -> None: ...


class Handler(kazoo.handlers.threading.SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, with `poll` for its selects and our own connect time-out (seconds)."""

    def __init__(self, connect_timeout: float) -> None:
        super().__init__()
        self._connect_timeout = connect_timeout

    def select(
        self,
        rlist: Sequence[Any],
        wlist: Sequence[Any],
        xlist: Sequence[Any],  # noqa: ARG002 - kazoo passes none
        timeout: float | None,
    ) -> tuple[list[Any], list[Any], list[Any]]:
        poll = select.poll()
        for sock in rlist:
            poll.register(sock, select.POLLIN)
        for sock in wlist:
            poll.register(sock, select.POLLOUT)
        ready = {fd for fd, _ in poll.poll(None if timeout is None else max(0.0, timeout * 1000))}
        return (
            [sock for sock in rlist if sock.fileno() in ready],
            [sock for sock in wlist if sock.fileno() in ready],
            [],
        )

    def create_connection(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = self._connect_timeout
        return super().create_connection(*args, **kwargs)


class Connection(kazoo.protocol.connection.ConnectionHandler):  # type: ignore[misc]
    def __init__(self, owner: Owner, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._received = bytearray()

    def _connect(self, host: str, hostip: str, port: int) -> Any:
        self._received.clear()
        self._owner.connecting()
        # kazoo resets last_zxid on expiry; the server refuses a client that is ahead of it.
        self.client.last_zxid = max(self.client.last_zxid, self._owner.floor())
        try:
            return super()._connect(host, hostip, port)
        except kazoo.exceptions.SessionExpiredError:
            raise
        except Exception as error:
            self._owner.refused(host, port, str(error) or type(error).__name__)
            raise

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        # A server that is just starting may accept a connection and never answer on it.
        return super()._invoke(min(timeout, _HANDSHAKE), request, xid)

    def _read(self, length: int, timeout: float) -> bytes:
        received = self._received
        with self._socket_error_handling():
            while len(received) < length:
                self._wait_for_bytes(timeout)
                try:
                    chunk = self._socket.recv(max(_RECEIVE, length - len(received)))
                except (BlockingIOError, InterruptedError):
                    continue
                except OSError as error:
                    if _wants_more(error):
                        continue
                    raise
                if not chunk:
                    raise kazoo.exceptions.ConnectionDropped("the server closed the connection")
                if not received and len(chunk) == length:
                    return bytes(chunk)
                received += chunk
        taken = bytes(memoryview(received)[:length])
        del received[:length]
        return taken

    def _wait_for_bytes(self, timeout: float) -> None:
        # A TLS socket may hold bytes that select cannot see.
        if self._hidden() or self.handler.select([self._socket], [], [], timeout)[0]:
            return
        raise self.handler.timeout_exception("socket time-out during read")

    def _hidden(self) -> int:
        return int(getattr(self._socket, "pending", lambda: 0)())

    def _read_socket(self, read_timeout: float) -> Any:
        """Handle everything that has arrived: select cannot see what our buffer holds."""
        while True:
            response = super()._read_socket(read_timeout)
            if response is not None or not self._message_waits():
                return response

    def _message_waits(self) -> bool:
        received = self._received
        if len(received) >= 4:
            return len(received) >= 4 + int(_LENGTH.unpack_from(received)[0])
        return bool(self._hidden())

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        kind, path = zk_protocol.event(buffer, offset)
        self._owner.event(kind, path)

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        request = self.client._pending[0][0]
        if hasattr(request, "zxid"):
            request.zxid = header.zxid
        return super()._read_response(header, buffer, offset)


def _wants_more(error: OSError) -> bool:
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


class Client(kazoo.client.KazooClient):  # type: ignore[misc]
    """A KazooClient whose connection is ours. `options` go to kazoo as they are."""

    def __init__(self, owner: Owner, connect_timeout: float, **options: Any) -> None:
        handler = Handler(connect_timeout)
        retry = kazoo.retry.KazooRetry(
            max_tries=-1, delay=0.05, backoff=2, max_delay=0.5, sleep_func=handler.sleep_func
        )
        super().__init__(handler=handler, connection_retry=retry, **options)
        self._connection = Connection(
            owner,
            self,
            self._conn_retry.copy(),
            logger=self.logger,
            sasl_options=options.get("sasl_options"),
        )

    def send(self, request: Any, pending: Any) -> None:
        """Queue one request; `pending` has kazoo's `set` and `set_exception`."""
        self._call(request, pending)

    def oldest_pending(self) -> Any:
        """The `pending` of the request that has waited longest for its reply, or None."""
        try:
            return self._pending[0][1]
        except IndexError:
            return None

    def cut(self) -> None:
        """Break the connection now; kazoo reconnects by itself."""
        sock = self._connection._socket
        if sock is not None:
            _shutdown(sock)


def _shutdown(sock: Any) -> None:
    try:
        sock.shutdown(2)
    except OSError:
        return


Sink = Callable[[int, bytes], None]
