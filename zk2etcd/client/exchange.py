"""One HTTP request of a command: how long it may take in all, and how much is read of its answer.

A socket's time-out starts anew with each byte, so whoever answers a byte a second would hold a
command for ever. It uses the plain HTTP client of the standard library: an environment's proxy
settings must not come between an operator and loopback, and `zk2etcd status` has to start fast.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_READ_LIMIT = 64 * 1024 * 1024


class Unanswered(Exception):
    """Nothing came that is HTTP. `sent`: the other side may have been asked all the same."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Answer(NamedTuple):
    """An HTTP status, and what came with it."""

    status: int
    body: bytes


def exchange(
    scheme: str,
    address: str,
    method: str,
    path: str,
    headers: Mapping[str, str | bytes],
    body: object,
    timeout: float,
) -> Answer:
    """The answer of whoever listens at host:port, within `timeout` seconds.

    :param body: sent as JSON, unless it is None.
    :raises Unanswered: there is none.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = False
    try:
        line = _line(scheme, address, timeout)
        with contextlib.closing(line):
            began = time.monotonic()
            line.connect()
            sent = True
            with _ended_after(line.sock, timeout - (time.monotonic() - began)):
                line.request(method, path, data, headers)
                answer = line.getresponse()
                found = answer.read(_READ_LIMIT)
                if answer.length:  # what is left: the connection broke, or it is endless
                    raise http.client.IncompleteRead(found, answer.length)
                return Answer(answer.status, found)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unanswered(reason, sent) from error


def _line(scheme: str, address: str, timeout: float) -> http.client.HTTPConnection:
    host, _, number = address.rpartition(":")
    host, port = host.strip("[]"), int(number)
    if scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


@contextlib.contextmanager
def _ended_after(sock: socket.socket, seconds: float) -> Iterator[None]:
    """:raises TimeoutError: it took longer, whatever came of it."""
    over = threading.Event()

    def end() -> None:
        over.set()
        with contextlib.suppress(OSError):
            # Not TLS's own, which would take its state away under the thread that reads.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, seconds), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        if over.is_set():
            raise TimeoutError("timed out") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():
        raise TimeoutError("timed out")
