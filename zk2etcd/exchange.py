"""One HTTP request of a command, or of one supervisor to another: where it goes, how long it may
take in all, and how much is read of its answer.

A socket's time-out starts anew with each byte, so whoever answers a byte a second would hold who
asks for ever. It uses the plain HTTP client of the standard library: an environment's proxy
settings must not come between an operator and loopback, and `zk2etcd status` has to start fast.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zk2etcd import errors
from zk2etcd.config import addresses

DEFAULT_URL = "http://127.0.0.1:9180"
_READ_LIMIT = 64 * 1024 * 1024
# No user part, no query, nothing that two readers could take for two different hosts.
_URL = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<address>[A-Za-z0-9_.:\[\]%-]+)(?P<path>(?:/[A-Za-z0-9._~!$&'()*+,;=:%-]*)*)",
    re.IGNORECASE,
)


class Place(NamedTuple):
    """What an http URL leads to; `address` is host:port in its normal form."""

    scheme: str
    address: str
    path: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.address}{self.path}"


def place(url: str) -> Place:
    """Where requests to this URL go, by one strict reading: what is judged is what is reached.

    :raises errors.UsageError: it is none, or has a user part. It is not repeated, since a secret
        may stand in it.
    """
    found = _URL.fullmatch(url)
    if found is None:
        if "@" in url:
            what = (
                "the address has a user part (NAME@), or a secret: leave it out, and give a token"
            )
            raise errors.UsageError(f"{what} in ZK2ETCD_TOKEN or in the configuration with -c")
        raise errors.UsageError(f"the address is not an http URL, such as {DEFAULT_URL}")
    scheme = (found["scheme"] or "http").lower()
    try:
        address = addresses.host_port(found["address"], 443 if scheme == "https" else 80)
    except ValueError as error:
        raise errors.UsageError(f"the address is not an http URL: it {error}") from None
    return Place(scheme, address, (found["path"] or "").rstrip("/"))


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
    most: int = _READ_LIMIT,
) -> Answer:
    """The answer of whoever listens at host:port, within `timeout` seconds.

    :param body: sent as JSON, unless it is None.
    :param most: so many bytes of it are read.
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
                found = answer.read(most)
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
