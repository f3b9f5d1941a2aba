"""Clients of an admin address that ask for nothing, or for much and take none of it."""

from __future__ import annotations

import collections
import contextlib
import http.client
import resource
import socket
import threading
import time
from typing import Self

PAGE = b"GET / HTTP/1.1\r\nHost:127.0.0.1\r\n\r\n"


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def answered(address: str, path: str, timeout: float = 3.0) -> int | None:
    """The HTTP status that a client of its own is given within `timeout`, None without any."""
    line = http.client.HTTPConnection(*split(address), timeout=timeout)
    try:
        line.request("GET", path)
        answer = line.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        return None
    else:
        return answer.status
    finally:
        line.close()


class Idlers:
    """A context: as many connections as `count` at any time, each of which says nothing; those
    that are closed are replaced."""

    def __init__(self, address: str, count: int, says: bytes = b"") -> None:
        self._address = split(address)
        self._count = count
        self._says = says
        self._over = threading.Event()
        self._held: collections.deque[socket.socket] = collections.deque()
        self.opened = 0
        self._thread = threading.Thread(target=self._press, daemon=True)

    def __enter__(self) -> Self:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20.0)
        while self._held:
            self._held.popleft().close()

    def _press(self) -> None:
        while not self._over.is_set():
            if len(self._held) >= self._count:
                self._turn_over()
            self._open()

    def _turn_over(self) -> None:
        """Let the oldest go, whether or not it was closed by now."""
        self._over.wait(0.005)
        self._held.popleft().close()

    def _open(self) -> None:
        try:
            sock = socket.create_connection(self._address, 1.0)
            self._held.append(sock)
            sock.sendall(self._says)
        except OSError:
            self._over.wait(0.05)
        else:
            self.opened += 1


class Greedy:
    """A connection that asks for the page again and again, and takes nothing of it."""

    def __init__(self, address: str, times: int = 2_000, ask: bytes = PAGE) -> None:
        self._sock = socket.socket()
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.connect(split(address))
        self._sock.settimeout(0.2)
        with contextlib.suppress(OSError):
            self._sock.sendall(ask * times)

    def ended(self) -> bool:
        """Whether the server has closed it. Nothing is read of what it had sent."""
        self._sock.settimeout(0.0)
        try:
            # What arrives after a close makes the other end reset the connection.
            self._sock.send(b"G")
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        self._sock.close()


def slowest(address: str, path: str, seconds: float) -> float:
    """The longest time that an answer took, of those asked for one after the other for so long;
    infinite if one did not come."""
    worst, until = 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.monotonic()
        if answered(address, path) is None:
            return float("inf")
        worst = max(worst, time.monotonic() - began)
        threading.Event().wait(0.1)
    return worst


def posted(address: str, path: str, body: bytes) -> int:
    """The HTTP status of a POST of these bytes as JSON."""
    line = http.client.HTTPConnection(*split(address), timeout=10.0)
    with contextlib.closing(line):
        line.request("POST", path, body, {"Content-Type": "application/json"})
        return line.getresponse().status
