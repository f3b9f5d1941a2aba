"""Why a ZooKeeper server did not take us, in words for the person who reads `status`.

kazoo says "socket connection error" for a wrong certificate and nothing at all for a server that
is behind what we have seen, which just hangs up. Both need a person, so both are told apart here.
"""

from __future__ import annotations

import ssl

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import failures, server_version

_SHOWN = 3


def reason(error: BaseException) -> str:
    """What went wrong with one attempt to connect; never a secret. An error of kazoo's is judged by
    the OSError that it came from."""
    if failures.is_refusal(error):
        return f"{failures.REFUSED} (zookeeper.auth, zookeeper.sasl)"
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


def behind(address: str, settings: connections.ZooKeeper, seen: int) -> int | None:
    """The zxid of a server that hung up, if that is lower than `seen`; None if it is not, or the
    server does not say. Waits some seconds at most."""
    try:
        zxid = server_version.zxid(server_version.srvr(address, settings))
    except OSError:
        return None
    return zxid if zxid is not None and zxid < seen else None


def told_behind(zxid: int, seen: int) -> str:
    return (
        f"at zxid {zxid:#x}, behind {seen:#x} which was seen before: it lags, or the ensemble "
        "was restored from a backup or replaced; waiting, nothing is written or deleted"
    )


class Refusals:
    """Why each host refused us, since the last connection. `behind` are those that serve an
    ensemble which is behind what we have seen, and their zxids."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}
        self.behind: dict[str, int] = {}

    def add(
        self, host: str, why: str, settings: connections.ZooKeeper, hung_up_at: int | None
    ) -> None:
        """:param hung_up_at: the server closed the connection without a word, as it does to a
        client that has seen a later zxid than its own; the latest that ours has seen."""
        zxid = behind(host, settings, hung_up_at) if hung_up_at else None
        if zxid is not None and hung_up_at is not None:
            why = told_behind(zxid, hung_up_at)
            self.behind = {**self.behind, host: zxid}
        self._reasons = {**self._reasons, host: f"{host}: {why}"}

    def all_behind(self, floor: int, hosts: int) -> bool:
        """All of `hosts` hosts refused, each because it is behind the floor."""
        known = self._reasons.keys() == self.behind.keys()
        lower = all(zxid < floor for zxid in self.behind.values())
        return known and lower and len(self.behind) >= hosts

    def __str__(self) -> str:
        shown = list(self._reasons.values())[:_SHOWN]
        more = len(self._reasons) - len(shown)
        return "; ".join(shown) + (f"; and {more} more" if more else "")
