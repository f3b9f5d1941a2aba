"""kazoo's connection, taught what the mirror needs of it.

kazoo knows only one-shot watches, hides the zxid of replies, forgets the last zxid on expiry, and
builds a selector for each of its several selects a message. This subclass hands every event to
one sink, each reply's zxid to its request, connects at or above a floor, resolves names anew
whenever it reconnects, and reads through a buffer (about 70 us of CPU an event without it).
Everything here runs in kazoo's connection thread.
"""

from __future__ import annotations

import io
import select
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import kazoo.client
import kazoo.exceptions
import kazoo.handlers.threading
import kazoo.protocol.connection
import kazoo.retry

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import (
    failures,
    outbox,
    protocol,
    protocol_choice,
    tls as tls_sockets,
)

_LENGTH = struct.Struct(">i")
_RECEIVE = 256 * 1024
_SHORTEST_ATTEMPT = 1.0
_FIRST_XID = 1
KNOWS_SASL = bool(kazoo.protocol.connection.PURESASL_AVAILABLE)
HANDSHAKE = 3.0
"""Seconds for a first handshake; a server that is just starting may never answer it."""


class Owner(Protocol):
    """What the connection tells, and asks, its session. `handshake`: seconds that one may take."""

    handshake: float

    def floor(self) -> int: ...
    def connecting(self) -> None: ...
    def rest(self) -> float: ...
    def agree(self, host: str, ask: protocol_choice.Ask) -> protocol_choice.Choice: ...
    def established(self, client: Any, choice: protocol_choice.Choice) -> None: ...
    def refused(self, host: str, error: BaseException, hung_up_at: int | None = None) -> None: ...
    def event(self, kind: int, path: bytes) -> None: ...
    def fell(self, zxid: int, to: int) -> None: ...


class Handler(kazoo.handlers.threading.SequentialThreadingHandler):  # type: ignore[misc]
    """kazoo's threads, with `poll` for its selects, our own TLS and connect time-out (seconds)."""

    def __init__(self, connect_timeout: float, tls: connections.ZkTls | None) -> None:
        super().__init__()
        self._tls = tls
        self._connect_timeout = connect_timeout
        self.attempt = connect_timeout

    def share(self, session_timeout: float, hosts: int) -> None:
        """One attempt takes its share of a session's life, so that a host which swallows packets
        does not cost us the session while the others are fine."""
        share = session_timeout / hosts if hosts > 1 else self._connect_timeout
        self.attempt = min(self._connect_timeout, max(_SHORTEST_ATTEMPT, share))

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

    def create_connection(self, address: tuple[str, int], hostname: str, **_: Any) -> Any:
        sock = tls_sockets.connected(address, self.attempt, hostname, self._tls)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Connection(kazoo.protocol.connection.ConnectionHandler):  # type: ignore[misc]
    def __init__(self, owner: Owner, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._received = bytearray()
        self._established = self._greeting = False
        self._patience = HANDSHAKE
        self._expected = (
            kazoo.exceptions.ConnectionDropped,
            kazoo.exceptions.AuthFailedError,
            self.handler.timeout_exception,
        )
        self._zxid = 0

    def _connect_loop(self, retry: Any) -> Any:
        """One round over the hosts, resolved just now. A connection that came about ends its
        round: the addresses after it may be days old by then."""
        if self.client._stopped.wait(self._owner.rest()):
            return kazoo.protocol.connection.STOP_CONNECTING
        hosts = self._expand_client_hosts()
        if not hosts:
            names = ", ".join(host for host, _ in self.client.hosts)
            self._owner.refused(names, protocol_choice.Unfit("the name cannot be resolved"))
            raise kazoo.retry.ForceRetryError("no host resolved")
        self.handler.share(self.client._session_timeout / 1000, len(hosts))
        for host, address, port in hosts:
            self._established = False
            if self.client._stopped.is_set():
                return kazoo.protocol.connection.STOP_CONNECTING
            stop = self._connect_attempt(host, address, port, retry)
            if stop is kazoo.protocol.connection.STOP_CONNECTING:
                return stop
            if self._established:
                break
        raise kazoo.retry.ForceRetryError("reconnecting")

    def _connect(self, host: str, hostip: str, port: int) -> Any:
        self._received.clear()
        self._zxid = 0
        self._forget_wakes()
        self._greeting = False
        self._owner.connecting()
        # kazoo resets last_zxid on expiry; the server refuses a client that is ahead of it.
        self.client.last_zxid = max(self.client.last_zxid, self._owner.floor())
        try:
            timeouts = super()._connect(host, hostip, port)
            self._patience = timeouts[1]
            choice = self._owner.agree(f"{host}:{port}", self._ask)
        except kazoo.exceptions.SessionExpiredError:
            raise
        except Exception as error:
            hung_up = self._greeting and isinstance(error, kazoo.exceptions.ConnectionDropped)
            seen = self.client.last_zxid if hung_up else None
            if self._socket is not None:
                # It counts against the server's connections for one address, as does what follows.
                self._socket.close()
            self._owner.refused(f"{host}:{port}", error, seen)
            if isinstance(error, self._expected):
                raise
            # kazoo's thread would end of it.
            raise kazoo.exceptions.ConnectionDropped(type(error).__name__) from error
        self._established = True
        self._owner.handshake = HANDSHAKE
        # Not at kazoo's CONNECTED, which comes before the credentials were looked at.
        self._owner.established(self.client, choice)
        return timeouts

    def _ask(self, request: Any) -> None:
        """Send one request before kazoo sends any, and wait; raises what the answer says."""
        zxid = self._invoke(self._patience, request, _FIRST_XID)
        self.client.last_zxid = max(self.client.last_zxid, zxid or 0)

    def _forget_wakes(self) -> None:
        """Requests that failed with the last connection left their wake-up bytes behind."""
        while self.handler.select([self._read_sock], [], [], 0)[0]:
            self._read_sock.recv(4096)
        for _ in range(len(self.client._queue)):
            self._write_sock.send(b"\0")

    def _invoke(self, timeout: float, request: Any, xid: int | None = None) -> Any:
        self._greeting = xid is None
        try:
            answer = super()._invoke(min(timeout, self._owner.handshake), request, xid)
        except self.handler.timeout_exception as error:
            # Perhaps it is only slow: be more patient with each failure.
            waited, self._owner.handshake = self._owner.handshake, self._owner.handshake * 2
            raise self.handler.timeout_exception(f"no answer within {waited:g} s") from error
        self._greeting = False
        return answer

    def _read(self, length: int, timeout: float) -> bytes:
        if length > _RECEIVE:
            return self._read_large(length, timeout)
        received = self._received
        while len(received) < length:
            chunk = self._receive(_RECEIVE, timeout)
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
            whole.write(self._receive(min(_RECEIVE, left), timeout))
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

    def _read_socket(self, read_timeout: float) -> Any:
        """Handle everything that has arrived: select cannot see what our buffer holds."""
        while True:
            response = super()._read_socket(read_timeout)
            if response is not None or not self._message_waits():
                return response

    def _read_header(self, timeout: float) -> Any:
        header, buffer, offset = super()._read_header(timeout)
        failures.name(header.err)
        return header, buffer, offset

    def _message_waits(self) -> bool:
        received = self._received
        if len(received) >= 4:
            return len(received) >= 4 + int(_LENGTH.unpack_from(received)[0])
        return bool(self._hidden())

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        kind, path = protocol.event(buffer, offset)
        self._owner.event(kind, path)

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        request, _, xid = self.client._pending[0]
        if header.xid != xid:
            # A server answers what it does not know before what it still works on. kazoo would let
            # this thread die of it, and nobody would notice until a deadline.
            raise kazoo.exceptions.ConnectionDropped(f"answer {header.xid} came before {xid}")
        if 0 < header.zxid < self._zxid:
            # A server's zxid only grows, and it answers a session in order: it was put back.
            self._owner.fell(self._zxid, header.zxid)
            raise kazoo.exceptions.ConnectionDropped("the server was put back")
        self._zxid = max(self._zxid, header.zxid)
        if hasattr(request, "zxid"):
            request.zxid = header.zxid
        if header.err == protocol.CheckWatch.NO_WATCHER and isinstance(
            request, protocol.CheckWatch
        ):
            request.stands, header = False, header._replace(err=0)
        return super()._read_response(header, buffer, offset)


def _wants_more(error: OSError) -> bool:
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


class Client(kazoo.client.KazooClient):  # type: ignore[misc]
    """A KazooClient whose connection is ours. `options` go to kazoo as they are."""

    def __init__(
        self, owner: Owner, connect_timeout: float, tls: connections.ZkTls | None, **options: Any
    ) -> None:
        handler = Handler(connect_timeout, tls)
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

        self._outbox = outbox.Outbox(self._call, lambda: bool(self.connected), failures.lost)
        self.send = self._outbox.send
        """Queue one request; its pending has kazoo's `set` and `set_exception`."""
        self.answered = self._outbox.answered
        self.oldest = self._outbox.oldest

    @property
    def in_flight(self) -> int:
        """Requests in kazoo's hands."""
        return len(self._outbox)

    @property
    def has_ended(self) -> bool:
        """kazoo has given up: refused credentials, or a bug."""
        return bool(self._connection.connection_stopped.is_set())

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
