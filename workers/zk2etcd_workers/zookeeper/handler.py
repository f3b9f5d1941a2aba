"""kazoo's threads and sockets, as the mirror needs them: `poll` instead of a selector that is built
for each of several selects a message, our own TLS, and a bound for one attempt to connect."""

from __future__ import annotations

import select
import socket
from collections.abc import Sequence
from typing import Any

import kazoo.handlers.threading

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import tls as tls_sockets

_SHORTEST_ATTEMPT = 1.0


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
