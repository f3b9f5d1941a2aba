"""What a person allowed: one pass over the deletes of one trip of the guard.

A release names the trip that the person saw. It is kept in memory only: if the worker dies before
it was used, the trip still stands, and somebody has to ask again.
"""

from __future__ import annotations

import threading

from zk2etcd import conditions, messages


class Grants:
    """The release of one shard that was not used yet. Given by the worker's thread, used by the
    shard's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: messages.Release | None = None

    def give(self, release: messages.Release) -> None:
        with self._lock:
            self._given = release

    def names(self, trip: conditions.Guard | None) -> bool:
        """This trip may pass, once."""
        given = self._given
        return trip is not None and given is not None and given.trip == trip.id

    def use(self, trip: conditions.Guard | None) -> messages.Release | None:
        """The release of this trip, which is gone afterwards; None if there is none."""
        with self._lock:
            if not self.names(trip):
                return None
            used, self._given = self._given, None
            return used
