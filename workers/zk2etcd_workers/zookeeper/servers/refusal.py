"""Why a ZooKeeper server did not take us, in words for the person who reads `status`.

kazoo says "socket connection error" for a wrong certificate and nothing at all for a server that
just hangs up. That may be one that is behind what we have seen, one without a quorum, one that has
enough connections from our address: each needs a person for something else, so each is told apart.
"""

from __future__ import annotations

import ssl
import time

from zk2etcd.config import connections
from zk2etcd_workers.zookeeper import failures
from zk2etcd_workers.zookeeper.servers import probing, protocol_choice

_SHOWN = 3
_LOOK_EVERY = 5.0
"""Seconds for which it is believed why a host hung up: to ask takes connections of its own."""


def reason(error: BaseException) -> str:
    """What went wrong with one attempt to connect; never a secret. An error of kazoo's is judged by
    the OSError that it came from."""
    if failures.is_refusal(error):
        return failures.login(error)
    if isinstance(error, protocol_choice.Unfit):
        return str(error)
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


def told_behind(zxid: int | None, seen: int) -> str:
    """:param zxid: the server's, if it is known."""
    where = "at an earlier zxid than" if zxid is None else f"at zxid {zxid:#x}, behind"
    return (
        f"{where} {seen:#x} which was seen before: it lags, or the ensemble "
        "was restored from a backup or replaced; waiting, nothing is written or deleted"
    )


class Refusals:
    """Why each host refused us, since the last connection. `behind` are those that serve an
    ensemble which is behind what we have seen, and a zxid that each is below; `denials` counts the
    attempts in a row that ended with a server that wants another login."""

    def __init__(self, settings: connections.ZooKeeper) -> None:
        self._settings = settings
        self._reasons: dict[str, str] = {}
        self._looked: dict[str, tuple[float, probing.Found]] = {}
        self._denying: frozenset[str] = frozenset()
        self.behind: dict[str, int] = {}
        self.denials = 0

    def add(self, host: str, error: BaseException, floor: int, hung_up_at: int | None) -> None:
        """:param floor: of our session, which may have seen more since.
        :param hung_up_at: the server closed the connection without a word, as it does to a
        client that has seen a later zxid than its own; the latest that ours has seen."""
        why = reason(error)
        if failures.is_refusal(error):
            self._denying |= {host}
            self.denials += 1
        else:
            self._denying -= {host}
            self.denials = 0
        if hung_up_at is not None:
            why = self._closer(host, why, (floor, hung_up_at))
        self._reasons = {**self._reasons, host: f"{host}: {why}"}

    def _closer(self, host: str, why: str, bounds: tuple[int, int]) -> str:
        """Why a host hung up, found out by asking it otherwise."""
        at, found = self._looked.get(host, (0.0, None))
        if found is None or time.monotonic() - at > _LOOK_EVERY:
            found = probing.look(host, self._settings, bounds)
            self._looked[host] = (time.monotonic(), found)
        if found.below is not None:
            self.behind = {**self.behind, host: found.below}
            return told_behind(found.zxid, found.below)
        return found.trouble or why

    @property
    def all_deny(self) -> bool:
        """Each host that was tried wanted another login, the last time."""
        return bool(self._denying) and self._reasons.keys() == self._denying

    def all_behind(self, floor: int, hosts: int) -> bool:
        """All of `hosts` hosts refused, each because it is behind the floor."""
        known = self._reasons.keys() == self.behind.keys()
        lower = all(below <= floor for below in self.behind.values())
        return known and lower and len(self.behind) >= hosts

    def __str__(self) -> str:
        shown = list(self._reasons.values())[:_SHOWN]
        more = len(self._reasons) - len(shown)
        return "; ".join(shown) + (f"; and {more} more" if more else "")
