"""Huge listings: one at a time, none that may have ended a server a moment ago, and what is said
of one that is not answered."""

from __future__ import annotations

import time

from zk2etcd import errors
from zk2etcd_workers.model import pacing, tree
from zk2etcd_workers.walk import directories

_REMEDY = (
    "its server needs memory for the whole answer (-Xmx), and zookeeper.request_timeout must be "
    "long enough; sync.prefixes.exclude leaves the node out"
)


class Listings:
    """Of one walk."""

    def __init__(self, caution: pacing.Caution) -> None:
        self._caution = caution
        self._long: directories.Dir | None = None

    def may_ask(self, directory: directories.Dir) -> bool:
        """Its huge listing may be asked for now; False: another one is under way.

        :raises errors.ListingRests: it may have ended a server a while ago.
        """
        if self._long is not None:
            return False
        rest = self._caution.rest(directory.path, time.monotonic())
        if rest > 0:
            raise errors.ListingRests(
                f"ZooKeeper is not asked again yet to list the {directory.expected:,} children of "
                f"{tree.shown(directory.path)}, since a connection ended at that: {_REMEDY}",
                rest,
            )
        return True

    def asked(self, directory: directories.Dir) -> None:
        """A huge one is under way."""
        self._long = directory

    def answered(self, directory: directories.Dir) -> None:
        """Any listing was."""
        if directory is self._long:
            self._caution.given(directory.path)
            self._long = None

    def broken(self, error: errors.ZooKeeperError) -> errors.ZooKeeperError:
        """What ends the walk; if that may be a listing which the server cannot give, it says so."""
        long = self._long
        if type(error) is not errors.SessionDoubt or long is None:
            return error
        if long.expected <= pacing.DANGEROUS_LISTING:
            return error
        self._caution.broke(long.path, long.expected, time.monotonic())
        return errors.SessionDoubt(
            f"{error}, when it was to list the {long.expected:,} children of "
            f"{tree.shown(long.path)}: {_REMEDY}"
        )


def is_huge(directory: directories.Dir) -> bool:
    """Its listing is to be asked for, and will be a long answer."""
    return directory.names is None and directory.expected > pacing.LARGE_LISTING
