"""The admin address, bound before it is served.

Whether it can be bound is known before any worker is told what to do. What serves it takes as long
to load as all that a supervisor needs besides; so that is done while the workers connect, and a
client that comes before it waits.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from zk2etcd import errors
from zk2etcd.admin import access
from zk2etcd.view import control

if TYPE_CHECKING:
    from zk2etcd.admin import server
    from zk2etcd.config import models


class Listener:
    """`address` is what was bound, with the port that port 0 became.

    `http` is asked for the address once, and by the server at each request. `directory` is the
    metrics' folder. Raises errors.StartError when the address cannot be bound.
    """

    def __init__(self, http: Callable[[], models.Http], directory: Callable[[], str]) -> None:
        self._http = http
        self._directory = directory
        self._sockets = bind(http().listen)
        self._server: server.Server | None = None
        host, port = self._sockets[0].getsockname()[:2]
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def serve(self, desk: control.Control) -> None:
        """Answer from now on, in threads of its own."""
        # It must find the metrics' folder, and takes its time.
        from zk2etcd.admin import server  # noqa: PLC0415

        self._server = server.serve(self._sockets, desk, self._http, self._directory)

    def close(self) -> None:
        """Free the port; returns when that is done. May be called twice."""
        if self._server is not None:
            self._server.close()
        else:
            for each in self._sockets:
                each.close()


def bind(listen: str) -> list[socket.socket]:
    """A bound socket for each address of `host:port`. Raises errors.StartError with the remedy."""
    host, port = access.address(listen)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise errors.StartError(f"http.listen: {host} has no address: {error.strerror}") from error
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, _, _, _, place in found:
        try:
            sockets.append(socket.create_server(place, family=family))
        except OSError as error:
            failure = error
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                break  # `localhost` may also name an IPv6 address that this host lacks
    if sockets and (failure is None or failure.errno != errno.EADDRINUSE):
        return sockets
    for one in sockets:
        one.close()
    raise errors.StartError(_why(listen, failure)) from failure


def _why(listen: str, failure: OSError | None) -> str:
    number = failure.errno if failure else None
    if number == errno.EADDRINUSE:
        return f"http.listen: {listen} is in use: stop what listens there, or choose another port"
    if number == errno.EACCES:
        return f"http.listen: {listen} is not allowed to this user: choose a port over 1023"
    reason = os.strerror(number) if number else "no address"
    return f"http.listen: cannot listen on {listen}: {reason}"
