"""What a server is, that would not take our session: asked by four-letter words, which need none,
and where those do not get through, by a session of one request that is thrown away.

Each is a connection of its own, and nothing else of ours is connected then: a server may allow one
connection for our address.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from typing import NamedTuple

from zk2etcd.config import connections
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import plain_reads, tls

_ZXID = re.compile(rb"Zxid: 0x([0-9a-f]+)")
_VERSION = re.compile(rb"Zookeeper version: (\d+)\.(\d+)(?:\.(\d+))?")
_SECONDS = 3.0
_QUIET_SECONDS = 0.3
_LENGTH = struct.Struct(">i")
_CONNECT = struct.Struct(">iqiqi16s")
_HEADER = struct.Struct(">ii")
_REPLY = struct.Struct(">iqi")
_CLOSE = -11
_AT_LIMIT = (
    "it ends each connection at once: is it at its limit of connections for this address "
    "(maxClientCnxns), or of all (maxCnxns)?"
)


Version = tuple[int, ...]


class Found(NamedTuple):
    """`zxid`: the last one, of a server that serves; `trouble`: why one does not, if known."""

    zxid: int | None = None
    trouble: str = ""


def look(host: str, settings: connections.ZooKeeper) -> Found:
    """What there is to find out about one host; waits for some seconds at most."""
    with contextlib.suppress(OSError):
        answer = srvr(host, settings)
        if trouble := serving(answer):
            return Found(None, trouble)
        if (last := zxid(answer)) is not None:
            return Found(last)
    with contextlib.suppress(OSError):
        if _ends_at_once(host, settings):
            return Found(None, _AT_LIMIT)
        return Found(_zxid(host, settings))
    return Found()


def serving(answer: bytes) -> str:
    """Why a server that gave this answer to `srvr` serves nobody like us; empty if it does."""
    if b"not currently serving" in answer:
        return "it runs, but serves nobody: its ensemble has no quorum"
    if b"Mode: read-only" in answer:
        return "it is read-only: it has lost its ensemble's quorum"
    return ""


def told(answer: bytes) -> Version | None:
    """The version that an answer to `srvr` tells, if it does."""
    match = _VERSION.search(answer)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def zxid(answer: bytes) -> int | None:
    """The last zxid that an answer to `srvr` tells, if it does."""
    match = _ZXID.search(answer)
    return int(match[1], 16) if match else None


def srvr(host: str, settings: connections.ZooKeeper) -> bytes:
    """What one host answers to `srvr`, the one four-letter word that is allowed by default
    (4lw.commands.whitelist); waits for three seconds at most for each part.

    :raises OSError: it does not answer.
    """
    with _connected(host, settings) as sock:
        sock.sendall(b"srvr")
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
        return answer


def _ends_at_once(host: str, settings: connections.ZooKeeper) -> bool:
    """Whether it ends a connection on which nothing was said."""
    with _connected(host, settings) as sock:
        sock.settimeout(_QUIET_SECONDS)
        try:
            return not sock.recv(1)
        except TimeoutError:
            return False
        except OSError:
            return True


def _zxid(host: str, settings: connections.ZooKeeper) -> int | None:
    """The last zxid, by a session that has seen none.

    :raises OSError: there was no session.
    """
    with _connected(host, settings) as sock:
        _send(sock, _CONNECT.pack(0, 0, int(_SECONDS * 1000), 0, 16, b"") + b"\0")
        _receive(sock)
        asked = plain_reads.Exists(tree.ROOT, watch=False)
        _send(sock, _HEADER.pack(1, asked.type) + asked.serialize())
        _, zxid, error = _REPLY.unpack_from(_receive(sock))
        with contextlib.suppress(OSError):
            _send(sock, _HEADER.pack(2, _CLOSE))
        return zxid if not error else None


def _connected(host: str, settings: connections.ZooKeeper) -> socket.socket:
    name, _, port = host.rpartition(":")
    bare = name.strip("[]")
    timeout = min(settings.connect_timeout, _SECONDS)
    return tls.connected((bare, int(port)), timeout, bare, settings.tls)


def _send(sock: socket.socket, message: bytes) -> None:
    sock.sendall(_LENGTH.pack(len(message)) + message)


def _receive(sock: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(sock, 4))
    return _exactly(sock, length)


def _exactly(sock: socket.socket, count: int) -> bytes:
    """:raises ConnectionError: the other side closed."""
    got = b""
    while len(got) < count:
        part = sock.recv(count - len(got))
        if not part:
            raise ConnectionError("the server closed the connection")
        got += part
    return got
