"""Which protocol the servers are spoken to with: bulk (ZooKeeper 3.6 and later) or classic.

A server that does not know an opcode ends the session that sent it. So their release is asked for
first; where none tells it, a session that is thrown away tries the opcode.
"""

from __future__ import annotations

import contextlib
import socket
import struct

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import protocol, server_version, tls

BULK, CLASSIC = "bulk", "classic"
OLDEST_BULK = (3, 6)
_SECONDS = 3.0
_UNIMPLEMENTED = -6
_LENGTH = struct.Struct(">i")
_CONNECT = struct.Struct(">iqiqi16s")
_HEADER = struct.Struct(">ii")
_REPLY = struct.Struct(">iqi")
_CLOSE = -11


def choose(settings: connections.ZooKeeper) -> str:
    """BULK or CLASSIC, for the oldest of the servers that answer.

    :raises errors.ZooKeeperError: none can be reached, or bulk is asked for and is not there.
    """
    if settings.protocol == CLASSIC:
        return CLASSIC
    version = server_version.ask(settings)
    if version >= OLDEST_BULK if version is not None else _takes_bulk(settings):
        return BULK
    if settings.protocol == BULK:
        shown = "the server" if version is None else "ZooKeeper " + ".".join(map(str, version))
        raise errors.ZooKeeperError(
            f"{shown} has no multiRead and no recursive watches, which came with 3.6: "
            "set zookeeper.protocol to auto or classic, or upgrade the ensemble"
        )
    return CLASSIC


def _takes_bulk(settings: connections.ZooKeeper) -> bool:
    """All hosts that let us try take a bulk read.

    :raises errors.ZooKeeperError: none let us.
    """
    found = []
    for host in settings.hosts:
        with contextlib.suppress(OSError):
            found.append(takes_bulk(host, settings))
    if not found:
        raise errors.ZooKeeperError("no ZooKeeper server tells its release, or lets us find out")
    return all(found)


def takes_bulk(host: str, settings: connections.ZooKeeper) -> bool:
    """Whether one host answers an empty multiRead, or ends the session for it.

    :raises OSError: there was no session.
    """
    name, _, port = host.rpartition(":")
    bare = name.strip("[]")
    timeout = min(settings.connect_timeout, _SECONDS)
    with tls.connected((bare, int(port)), timeout, bare, settings.tls) as sock:
        _send(sock, _CONNECT.pack(0, 0, int(_SECONDS * 1000), 0, 16, b"") + b"\0")
        _receive(sock)
        _send(
            sock,
            _HEADER.pack(1, protocol.MultiRead.type) + protocol.MultiRead([]).serialize(),
        )
        try:
            _, _, error = _REPLY.unpack_from(_receive(sock))
        except ConnectionError:
            return False
        if error == _UNIMPLEMENTED:
            return False
        with contextlib.suppress(OSError):
            _send(sock, _HEADER.pack(2, _CLOSE))
        return True


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
