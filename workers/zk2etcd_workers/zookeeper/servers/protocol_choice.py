"""Which protocol a connection is spoken over: bulk (ZooKeeper 3.6 and later) or classic.

What stands behind an address may be another release tomorrow, or at the next member of an ensemble
that is being upgraded; and four-letter words may not get through to it. So each new connection is
asked, before anything else: an empty multiRead, then a recursive watch where nothing ever is.

A server before 3.6 answers the first with "unimplemented" and ends the connection (ZooKeeper's
`UnimplementedRequestProcessor`); the session lives on, and the next connection to that address is
spoken to the classic way. One with `WatchManagerOptimized` refuses the watch, and the connection
stands (`IWatchManager.addWatch` throws, so the answer is a marshalling error).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

from zk2etcd.config import connections
from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import failures, protocol
from zk2etcd_workers.zookeeper.servers import probing

BULK, CLASSIC = "bulk", "classic"
OLDEST_BULK = (3, 6)
_NOWHERE = b"/zookeeper/zk2etcd"
"""Below ZooKeeper's own node, where only ZooKeeper makes nodes: its watch never fires."""
_SILENT_ENDS = 2

Ask = Callable[[Any], None]
"""Sends one request over the new connection and waits; raises kazoo's errors."""


class Lack(enum.Enum):
    """Why a server is not spoken to in bulk."""

    MULTI_READ = "has no multiRead and no recursive watches, which came with 3.6"
    WATCHES = "refuses recursive watches, as with zookeeper.watchManagerName=WatchManagerOptimized"
    DISTRUST = "was found not to tell of all changes"


_REMEDIES = {
    Lack.MULTI_READ: "or upgrade the ensemble",
    Lack.WATCHES: "or let the server use its default watch manager",
    Lack.DISTRUST: "or see what stands between it and us",
}


class Choice(NamedTuple):
    """What one connection is spoken to with; `why` in words, if bulk was wanted and is not had."""

    protocol: str
    why: str = ""


class Unfit(Exception):
    """This connection is of no use: it ends now, or does not do what is asked for."""


class Anew(Unfit):
    """It ended for what it was asked. The next one to the same address is not asked that again."""


class Choices:
    """One session's choices. Used in kazoo's connection thread, one connection at a time."""

    def __init__(self, settings: connections.ZooKeeper) -> None:
        self._settings = settings
        self._lacking: dict[str, Lack] = {}
        """Hosts that ended their last connection for a bulk request."""
        self._silent: dict[str, int] = {}
        self._distrusted = ""

    def distrust(self, why: str) -> None:
        """No further connection is to be spoken to in bulk, unless the settings demand it."""
        self._distrusted = why

    def agree(self, host: str, ask: Ask) -> Choice:
        """Find out what this connection takes; it is also the proof that it answers at all.

        :raises Anew: it is to be made anew.
        :raises Unfit: it is not fit for what the settings demand.
        """
        wanted = self._settings.protocol
        if wanted == CLASSIC or (self._distrusted and wanted != BULK):
            _serve(ask)
            return Choice(CLASSIC, "" if wanted == CLASSIC else self._distrusted)
        lacking = None if wanted == BULK else self._lacking.pop(host, None)
        if lacking is None:
            lacking = self._tried(host, ask)
        else:
            _serve(ask)
        if lacking is None:
            return Choice(BULK)
        if wanted == BULK:
            raise Unfit(f"{told(host, self._settings)} {demanded(lacking)}")
        return Choice(CLASSIC, f"{host} {lacking.value}")

    def _tried(self, host: str, ask: Ask) -> Lack | None:
        """Try both requests; what the server lacks of them while the connection still stands."""
        for lack, request in (
            (Lack.MULTI_READ, protocol.MultiRead([])),
            (Lack.WATCHES, protocol.AddWatch(_NOWHERE)),
        ):
            try:
                ask(request)
            except Exception as error:
                match failures.meaning(error):
                    case failures.Meaning.UNKNOWN:
                        self._ended(host, lack)
                    case failures.Meaning.UNREADABLE:
                        return lack
                    case failures.Meaning.DOUBT if self._was_silent(host):
                        self._ended(host, lack)
                    case _:
                        pass
                raise
            self._silent.pop(host, None)
        return None

    def _was_silent(self, host: str) -> bool:
        """It ended the connection without a word, as a network does, and as some substitutes for
        ZooKeeper do for what they do not know: only twice in a row."""
        self._silent[host] = self._silent.get(host, 0) + 1
        return self._silent[host] >= _SILENT_ENDS

    def _ended(self, host: str, lack: Lack) -> None:
        self._silent.pop(host, None)
        if self._settings.protocol == BULK:
            raise Unfit(f"{told(host, self._settings)} {demanded(lack)}")
        self._lacking[host] = lack
        raise Anew(f"{lack.value}: asked anew, the classic way")


def _serve(ask: Ask) -> None:
    """See that it answers us, with a request that every release knows."""
    try:
        ask(protocol.Exists(tree.ROOT, watch=False))
    except Exception as error:
        if failures.miss(error) is None:
            raise


def demanded(lack: Lack) -> str:
    """What is said of a server that lacks what `zookeeper.protocol: bulk` demands."""
    return f"{lack.value}: set zookeeper.protocol to auto or classic, {_REMEDIES[lack]}"


def told(host: str, settings: connections.ZooKeeper) -> str:
    """The server with its release, if it tells that."""
    try:
        version = probing.told(probing.srvr(host, settings))
    except OSError:
        version = None
    return "the server" if version is None else "ZooKeeper " + ".".join(map(str, version))
