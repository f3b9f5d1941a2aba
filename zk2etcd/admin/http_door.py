"""Who is let in, and who has to leave for it: the listening side of the admin server.

Whatever clients do, the process keeps the descriptors that mirroring needs, and a newcomer is
always let in: the place is taken from whoever has most, so that a crowd at one address keeps no
probe of another out. waitress stops to accept when it is full, which lets idle clients do that.
"""

from __future__ import annotations

import collections
import socket
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from waitress import adjustments, server, wasyncore

from zk2etcd.admin import http_channel
from zk2etcd.logs import logger

MOST = 200
"""Connections, however many descriptors there are: each costs a look at every turn of the server,
in a process whose own loop must not wait for that."""
_FEWEST = 8
# What the process has open itself, or may open at any moment: logs, files of the configuration and
# the metrics, the pipes of a worker that is being started.
_OURS = 32
_WORKERS = 5
MOST_BYTES = 64 * 1024 * 1024
"""Of requests and answers, all clients together."""
_KERNEL_BYTES = 64 * 1024
_TEND_EVERY = 0.5

Sockets = dict[int, Any]


def room(descriptors: int, workers: int) -> int:
    """How many connections a process may have that may open so many descriptors."""
    return max(_FEWEST, min(MOST, descriptors - _OURS - _WORKERS * workers))


class Door(server.TcpWSGIServer):  # type: ignore[misc]
    """One listening socket. `most` says how many connections there may be, at all of them."""

    channel_class = http_channel.Channel

    def __init__(
        self,
        application: Any,
        sock: socket.socket,
        sockets: Sockets,
        lanes: Any,
        adj: adjustments.Adjustments,
        most: Callable[[], int],
    ) -> None:
        self._most = most
        self._allowed = _FEWEST
        self._tends_at = self._rests_until = 0.0
        info = (sock.family, sock.type, sock.proto, sock.getsockname())
        super().__init__(
            application, sockets, True, sock, lanes, adj, sockinfo=info, bind_socket=False
        )

    def readable(self) -> bool:
        """Called before each wait: the one moment in which connections may be closed, since what
        was waited for is then told by numbers that a new one could have by now."""
        now = time.monotonic()
        found = channels(self._map)
        leaving = []
        if now >= self._tends_at:
            self._tends_at = now + _TEND_EVERY
            leaving = outworn(found, now)
            self._count()
        leaving += crowding(found, len(found) - self._allowed)
        for channel in leaving:
            channel.handle_close()
        return now >= self._rests_until

    def _count(self) -> None:
        try:
            self._allowed = self._most()
        except Exception:  # whatever is wrong there, people must be able to ask
            logger.get().exception("cannot tell how many connections there may be")

    def handle_accept(self) -> None:
        try:
            accepted = self.accept()
        except OSError as error:  # no descriptor, no memory: it would come again without a pause
            self._rests_until = time.monotonic() + _TEND_EVERY
            what = "cannot take a connection to the admin address"
            logger.get().warning(what, error=error.strerror or str(error))
            return
        if accepted is None:
            return
        sock, address = accepted
        try:
            self.set_socket_options(sock)
            self.channel_class(self, sock, address, self.adj, map=self._map)
        except OSError:  # the client has left again
            sock.close()

    def set_socket_options(self, conn: socket.socket) -> None:
        """The kernel, too, keeps little of what a client does not take: it would be megabytes."""
        super().set_socket_options(conn)
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL_BYTES)

    def handle_error(self) -> None:
        """As for a connection, but this one stays open."""
        logger.get().exception("taking a connection to the admin address failed")


def channels(sockets: Sockets) -> list[http_channel.Channel]:
    """The connections among the sockets of the server."""
    return [each for each in list(sockets.values()) if isinstance(each, http_channel.Channel)]


def crowding(found: Iterable[http_channel.Channel], count: int) -> list[http_channel.Channel]:
    """Of these connections, `count` that are to be closed for newer ones: of the address that has
    most of them, and there those on which no request is being answered, the oldest first."""
    by_address: dict[str, list[http_channel.Channel]] = collections.defaultdict(list)
    for channel in sorted(found, key=lambda channel: (channel.busy, channel.began), reverse=True):
        by_address[str(channel.addr[0])].append(channel)
    return [max(by_address.values(), key=len).pop() for _ in range(count)]


def outworn(
    found: Collection[http_channel.Channel], now: float, most_bytes: int = MOST_BYTES
) -> list[http_channel.Channel]:
    """Those that have had their time, and those that hold most while all hold too many bytes."""
    leaving = [channel for channel in found if channel.overdue(now)]
    staying = [(channel.waiting, channel) for channel in found if channel not in leaving]
    total = sum(held for held, _ in staying)
    for held, channel in sorted(staying, key=lambda each: each[0], reverse=True):
        if total <= most_bytes:
            break
        total -= held
        leaving.append(channel)
    return leaving


def run(sockets: Sockets) -> None:
    """Serve until all sockets are closed. Nothing that a client sends ends it."""
    while sockets:
        try:
            wasyncore.loop(timeout=_TEND_EVERY, use_poll=True, map=sockets)
        except Exception:
            logger.get().exception("the admin server failed: it goes on")
            time.sleep(_TEND_EVERY)
