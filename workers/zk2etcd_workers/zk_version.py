"""Which release a ZooKeeper server is, found out without risking the real session: an unknown
opcode makes an older server close it."""

from __future__ import annotations

import re
import socket
import ssl

from zk2etcd import config, errors

_VERSION = re.compile(rb"Zookeeper version: (\d+)\.(\d+)(?:\.(\d+))?")
Version = tuple[int, ...]


def ask(settings: config.ZooKeeper) -> Version:
    """The lowest version among the hosts that answer the four-letter word `srvr`.

    `srvr` is the one word that is allowed by default (4lw.commands.whitelist). If no host
    answers it, because it is not on the whitelist or the port speaks TLS only, the
    release is taken to be 3.6, the first that zk2etcd supports.

    :raises errors.ZooKeeperError: no host could be reached.
    """
    found: list[Version] = []
    reached = False
    for host in settings.hosts:
        try:
            answer = srvr(host, settings)
        except OSError:
            continue
        reached = True
        if version := told(answer):
            found.append(version)
    if not reached:
        raise errors.ZooKeeperError(f"no ZooKeeper server answers at {', '.join(settings.hosts)}")
    return min(found, default=(3, 6, 0))


def told(answer: bytes) -> Version | None:
    """The version that an answer to `srvr` tells, if it does."""
    match = _VERSION.search(answer)
    return tuple(int(part or 0) for part in match.groups()) if match else None


def srvr(host: str, settings: config.ZooKeeper) -> bytes:
    """What one host answers to `srvr`; waits for three seconds at most for each part.

    :raises OSError: it does not answer.
    """
    name, _, port = host.rpartition(":")
    timeout = min(settings.connect_timeout, 3.0)
    with socket.create_connection((name.strip("[]"), int(port)), timeout) as plain:
        sock = _wrapped(plain, name.strip("[]"), settings.tls) if settings.tls else plain
        sock.sendall(b"srvr")
        answer = b""
        while chunk := sock.recv(4096):
            answer += chunk
        return answer


def _wrapped(sock: socket.socket, name: str, tls: config.ZkTls) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key)
    return context.wrap_socket(sock, server_hostname=name)
