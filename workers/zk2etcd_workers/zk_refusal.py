"""Why a ZooKeeper server did not take us, in words for the person who reads `status`.

kazoo says "socket connection error" for a wrong certificate and nothing at all for a server that
is behind what we have seen, which just hangs up. Both need a person, so both are told apart here.
"""

from __future__ import annotations

import ssl

from zk2etcd import config
from zk2etcd_workers import zk_version

CREDENTIALS = "refused the credentials (zookeeper.auth, zookeeper.sasl)"


def reason(error: BaseException) -> str:
    """What went wrong with one attempt to connect; never a secret. An error of kazoo's is judged by
    the OSError that it came from."""
    if type(error).__name__ == "AuthFailedError":
        return CREDENTIALS
    cause = error if isinstance(error, OSError) else error.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        said = f"its certificate is not trusted: {cause.verify_message}"
        return f"{said} (zookeeper.tls.ca, or its name in zookeeper.hosts)"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {cause.reason or cause} (zookeeper.tls)"
    if isinstance(cause, FileNotFoundError | PermissionError) and cause.filename:
        return f"{cause.filename}: {cause.strerror} (zookeeper.tls)"
    # kazoo makes "socket connection error: None" of a time-out.
    said = (cause.strerror or str(cause)) if isinstance(cause, OSError) else str(error)
    return said or type(error).__name__


def behind(address: str, settings: config.ZooKeeper, seen: int) -> int | None:
    """The zxid of a server that hung up, if that is lower than `seen`; None if it is not, or the
    server does not say. Waits some seconds at most."""
    try:
        zxid = zk_version.zxid(zk_version.srvr(address, settings))
    except OSError:
        return None
    return zxid if zxid is not None and zxid < seen else None


def told_behind(zxid: int, seen: int) -> str:
    return (
        f"at zxid {zxid:#x}, behind {seen:#x} which was seen before: it lags, or the ensemble "
        "was restored from a backup or replaced; waiting, nothing is written or deleted"
    )
