"""What a server is, that would not take our session: asked by four-letter words, which need none,
and where those do not get through, by taking up a session that there never was.

A server refuses such a one as expired, for certain and without a transaction; but before that it
hangs up if the client says that it has seen a later zxid than the server has
(`ZooKeeperServer.processConnectRequest`, all releases). So it tells whether it is below any zxid.
Each is a connection of its own, and nothing else of ours is connected then: a server may allow one
connection for our address.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import tls

_ZXID = re.compile(rb"Zxid: 0x([0-9a-f]+)")
_VERSION = re.compile(rb"Zookeeper version: (\d+)\.(\d+)(?:\.(\d+))?")
_SECONDS = 3.0
_QUIET_SECONDS = 0.3
_LENGTH = struct.Struct(">i")
_CONNECT = struct.Struct(">iqiqi16s")
_NOBODYS = 1
"""A session id that no server gives: its highest byte would be a myid, of which 0 is none."""
_AT_LIMIT = (
    "it ends each connection at once: is it at its limit of connections for this address "
    "(maxClientCnxns), or of all (maxCnxns)?"
)


Version = tuple[int, ...]


class Found(NamedTuple):
    """Of a server that serves: its last `zxid`, if it tells, and a zxid that it is `below`, if it
    is; of another: its `trouble`, why it does not serve us."""

    zxid: int | None = None
    below: int | None = None
    trouble: str = ""


def look(host: str, settings: connections.ZooKeeper, bounds: Sequence[int]) -> Found:
    """What there is to find out about one host; waits for some seconds at most.

    :param bounds: zxids, the lowest first; `below` is the first of them that the server is below.
    """
    with contextlib.suppress(OSError):
        answer = srvr(host, settings)
        if trouble := serving(answer):
            return Found(trouble=trouble)
        if (last := zxid(answer)) is not None:
            return Found(last, next((bound for bound in bounds if last < bound), None))
    with contextlib.suppress(OSError):
        if _ends_at_once(host, settings):
            return Found(trouble=_AT_LIMIT)
        if _reaches(host, settings, 0):
            lower = (bound for bound in bounds if not _reaches(host, settings, bound))
            return Found(below=next(lower, None))
    return Found()


def serves(host: str, settings: connections.ZooKeeper) -> bool:
    """Whether it would take a session of ours; waits for some seconds at most."""
    with contextlib.suppress(OSError):
        answer = srvr(host, settings)
        if serving(answer):
            return False
        if zxid(answer) is not None:
            return True
    with contextlib.suppress(OSError):
        return _reaches(host, settings, 0)
    return False


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


def _reaches(host: str, settings: connections.ZooKeeper, zxid: int) -> bool:
    """Whether it answers one who has seen this zxid; if not, it is below, or serves nobody.

    :raises OSError: it cannot be connected to, or is silent.
    """
    with _connected(host, settings) as sock:
        asked = _CONNECT.pack(0, zxid, int(_SECONDS * 1000), _NOBODYS, 16, b"") + b"\0"
        try:
            sock.sendall(_LENGTH.pack(len(asked)) + asked)
            return bool(sock.recv(1))
        except TimeoutError:
            raise
        except OSError:
            return False


def _connected(host: str, settings: connections.ZooKeeper) -> socket.socket:
    name, _, port = host.rpartition(":")
    bare = name.strip("[]")
    timeout = min(settings.connect_timeout, _SECONDS)
    return tls.connected((bare, int(port)), timeout, bare, settings.tls)
