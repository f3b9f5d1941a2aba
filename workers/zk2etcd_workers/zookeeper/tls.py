"""TLS to ZooKeeper, the same for the session and for four-letter words.

The files are read at each connection, so that a certificate that was renewed on disk is used by the
next one. kazoo's own TLS leaks a socket for each failed attempt and leaves a missing file unnamed.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import stat

from zk2etcd.config import connections, files

_LONGEST_PEM = 1024 * 1024


def connected(
    address: tuple[str, int], timeout: float, name: str, tls: connections.ZkTls | None
) -> socket.socket:
    """A connection to `address`, over TLS unless `tls` is None; `name` is what the server's
    certificate must say. `timeout` in seconds, for each part of it.

    :raises OSError: it failed; an ssl.SSLError if TLS did, a FileNotFoundError with its file name.
    """
    plain = socket.create_connection(address, timeout)
    if tls is None:
        return plain
    try:
        return _context(tls).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def _context(tls: connections.ZkTls) -> ssl.SSLContext:
    for path in filter(None, (tls.ca, tls.cert, tls.key)):
        _must_be_fit(path)
    context = ssl.create_default_context(cafile=tls.ca)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        context.load_cert_chain(tls.cert, tls.key, password="")  # never asked for on a terminal
    return context


def _must_be_fit(path: str) -> None:
    """OpenSSL's error would not name the file; and it waits for a pipe, and asks for a passphrase.

    :raises OSError: with the file's name.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PermissionError(errno.EACCES, "not a regular file", path)
        if files.is_encrypted(file.read(_LONGEST_PEM)):
            raise PermissionError(errno.EACCES, files.ENCRYPTED, path)
