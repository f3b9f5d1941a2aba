"""One connection to the admin server: how much time, and how many bytes, one client may take.

waitress closes connections on which nothing moves, but not while a request is under way, and it
reads as many requests ahead as a client cares to send. A few clients that ask much and take
nothing of the answers would so keep its threads, and hold any number of bytes. So here a request
has its time from its beginning, an answer from when it first waits to be taken, and the next
request is looked at when the last answer has gone out.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import waitress.channel
from waitress import parser, server, wasyncore

RECEIVE = 5.0
"""Seconds for one request, and for a connection between two of them."""
STALL = 5.0
"""Seconds in which a client takes nothing of an answer."""
BRISK = 1.0
"""Seconds; who takes something of an answer as often as that leaves last when there is no room."""
ANSWER = 60.0
"""Seconds for one answer, however slowly it is taken."""


class Request(parser.HTTPRequestParser):  # type: ignore[misc]
    """Takes all bytes that came, and hands what belongs to a next request to `keep`."""

    def __init__(self, keep: Callable[[bytes], None], adj: Any) -> None:
        super().__init__(adj)
        self._keep = keep

    def received(self, data: bytes) -> int:
        consumed: int = super().received(data)
        if not self.completed or self.empty:
            return consumed
        self._keep(data[consumed:])
        return len(data)


class Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]
    """`began` is when the request that is being received began, or the wait for one. All times
    are monotonic."""

    def __init__(
        self,
        server: server.BaseWSGIServer,
        sock: Any,
        addr: tuple[Any, ...],
        adj: Any,
        map: dict[int, wasyncore.dispatcher] | None = None,  # noqa: A002
    ) -> None:
        self.began = self._moved = self._answered = time.monotonic()
        self._ahead = b""
        super().__init__(server, sock, addr, adj, map)
        self.parser_class = functools.partial(Request, self._keep)

    def _keep(self, ahead: bytes) -> None:
        self._ahead = ahead

    @property
    def waiting(self) -> int:
        """Bytes held for this client: of its request, and of its answer."""
        asked = [each for each in (self.request, *self.requests) if each is not None]
        received: int = sum(each.header_bytes_received + each.body_bytes_received for each in asked)
        return int(self.total_outbufs_len) + received + len(self._ahead)

    @property
    def busy(self) -> bool:
        """A request of it is being answered, or waits for that, or its answer is being taken."""
        if self.total_outbufs_len:
            return time.monotonic() - self._moved < BRISK
        return bool(self.requests)

    def overdue(self, now: float) -> bool:
        """It has had its time."""
        if self.total_outbufs_len:
            return now - self._moved > STALL or now - self._answered > ANSWER
        return not self.requests and now - self.began > RECEIVE

    def readable(self) -> bool:
        if self._fileno is None:  # closed in this turn: its number may be another's after it
            return False
        if self._ahead and self.connected and super().readable():
            ahead, self._ahead = self._ahead, b""
            try:
                self.received(ahead)
            except Exception:  # as wasyncore does for what is read: it must not end the loop
                self.handle_error()
        return not self._ahead and bool(super().readable())

    def writable(self) -> bool:
        return self._fileno is not None and bool(super().writable())

    def received(self, data: bytes) -> bool:
        begun = self.request
        taken = bool(super().received(data))
        if begun is None or self.request is not begun:
            self.began = time.monotonic()
        return taken

    def write_soon(self, data: Any) -> int:
        if not self.total_outbufs_len:
            self._answered = self._moved = time.monotonic()
        return int(super().write_soon(data))

    def service(self) -> None:
        super().service()
        self.began = time.monotonic()

    def _flush_some(self, do_close: bool = True) -> bool:
        moved = bool(super()._flush_some(do_close=do_close))
        if moved:
            self._moved = time.monotonic()
        return moved
