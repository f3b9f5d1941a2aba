"""kazoo's connection, taught what the mirror needs of it.

kazoo knows only one-shot watches, hides the zxid of replies and forgets the last zxid on expiry.
This subclass hands every event to one sink, each reply's zxid to its request, connects at or above
a floor, resolves names anew whenever it reconnects, and sends a train of requests as one.
Everything here runs in kazoo's connection thread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import kazoo.client
import kazoo.exceptions
import kazoo.protocol.connection
import kazoo.retry

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import buffered, failures, handler, outbox, protocol
from zk2etcd_workers.zookeeper.classic import train
from zk2etcd_workers.zookeeper.servers import protocol_choice

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


class Connection(buffered.Buffered):
    def __init__(self, owner: Owner, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._established = self._anew = self._greeting = False
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
            stop = self._attempt(host, address, port, retry)
            if stop is kazoo.protocol.connection.STOP_CONNECTING:
                return stop
            if self._established:
                break
        raise kazoo.retry.ForceRetryError("reconnecting")

    def _attempt(self, host: str, address: str, port: int, retry: Any) -> Any:
        """One host. If it ended the connection for what it was asked, there is another one at once:
        to rest before it would be to rest at each reconnect to a server before 3.6."""
        for _ in range(2):
            self._established = self._anew = False
            if self.client._stopped.is_set():
                return kazoo.protocol.connection.STOP_CONNECTING
            stop = self._connect_attempt(host, address, port, retry)
            if not self._anew:
                break
        return stop

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
            self._anew = isinstance(error, protocol_choice.Anew)
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

    def _read_socket(self, read_timeout: float) -> Any:
        """Handle everything that has arrived: select cannot see what our buffer holds."""
        while True:
            response, self._reading = None, True
            try:
                if not self._absorb(read_timeout):
                    response = super()._read_socket(read_timeout)
            finally:
                self._reading = False
            if response is not None:
                return response
            if not self._message_waits():
                # Not before: what has arrived is lost with a connection on which nothing can go.
                self._send_unwoken()
                return None

    def _absorb(self, timeout: float) -> bool:
        """If a train is being answered, take all that is there of its answers, and whether that is
        anything. An event, or an answer that has not come whole, is kazoo's way."""
        pending = self.client._pending
        if not pending or not isinstance(pending[0][0], train.Train):
            return False
        if not self._message_waits():
            self._received += self._receive(buffered.RECEIVE, timeout)
        taken = pending[0][0].absorb(bytes(self._received), self._zxid)
        if not taken:
            return False
        del self._received[:taken]
        self._took()
        return True

    def _took(self) -> None:
        """The train at the head was answered, in part or whole."""
        client = self.client
        request, result, _ = client._pending[0]
        self._zxid = client.last_zxid = request.zxid
        if request.is_answered:
            client._pending.popleft()
            request.settle(result)

    def _read_header(self, timeout: float) -> Any:
        header, buffer, offset = super()._read_header(timeout)
        failures.name(header.err)
        return header, buffer, offset

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        kind, path = protocol.event(buffer, offset)
        self._owner.event(kind, path)

    def _read_response(self, header: Any, buffer: bytes, offset: int) -> Any:
        request, _, xid = self.client._pending[0]
        is_train = isinstance(request, train.Train)
        xid = request.expected if is_train else xid
        if header.xid != xid:
            # A server answers what it does not know before what it still works on. kazoo would let
            # this thread die of it, and nobody would notice until a deadline.
            raise kazoo.exceptions.ConnectionDropped(f"answer {header.xid} came before {xid}")
        if 0 < header.zxid < self._zxid:
            # A server's zxid only grows, and it answers a session in order: it was put back.
            self._owner.fell(self._zxid, header.zxid)
            raise kazoo.exceptions.ConnectionDropped("the server was put back")
        self._zxid = max(self._zxid, header.zxid)
        if is_train:
            request.take(self._zxid, header.err, buffer, offset)
            self._took()
            return None
        if hasattr(request, "zxid"):
            request.zxid = header.zxid
        if header.err == protocol.CheckWatch.NO_WATCHER and isinstance(
            request, protocol.CheckWatch
        ):
            request.stands, header = False, header._replace(err=0)
        return super()._read_response(header, buffer, offset)


class Client(kazoo.client.KazooClient):  # type: ignore[misc]
    """A KazooClient whose connection is ours. `options` go to kazoo as they are."""

    def __init__(
        self,
        owner: Owner,
        connect_timeout: float,
        tls: connections.ZkTls | None,
        limit: int,
        **options: Any,
    ) -> None:
        """:param limit: how many requests may be under way."""
        threads = handler.Handler(connect_timeout, tls)
        retry = kazoo.retry.KazooRetry(
            max_tries=-1, delay=0.05, backoff=2, max_delay=0.5, sleep_func=threads.sleep_func
        )
        super().__init__(handler=threads, connection_retry=retry, **options)
        self._connection = Connection(
            owner,
            self,
            self._conn_retry.copy(),
            logger=self.logger,
            sasl_options=options.get("sasl_options"),
        )

        self._outbox = outbox.Outbox(self._call, lambda: bool(self.connected), failures.lost, limit)
        self.send = self._outbox.send
        """Queue one request; its pending has kazoo's `set` and `set_exception`."""
        self.answered = self._outbox.answered
        self.train = min(train.OPS, max(1, limit // 2))
        """Reads in one send at most: the server has one while we take the answers to another."""
        self.oldest = self._outbox.oldest

    def _call(self, request: Any, result: Any) -> Any:
        """kazoo's; without the detour by a socket pair where the connection's thread is awake."""
        if not self.connected or not self._connection.may_be_spared:
            return super()._call(request, result)
        self._queue.append((request, result))
        self._connection.queued(result)
        return True

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
