"""What a person allowed: one pass over the deletes of one trip of the guard, or over what is kept.

A release names what the person saw. It is kept in memory only: if the worker dies before
it was used, the trip still stands, and somebody has to ask again.
"""

from __future__ import annotations

import threading

from zk2etcd import conditions, messages

_Held = conditions.Guard | conditions.Kept
_MOST = 2
"""Of a trip, and of what is kept beside it."""


class Grants:
    """The releases of one shard that were not used yet, the last of them. Given by the worker's
    thread, used by the shard's own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[str, messages.Release] = {}

    def give(self, release: messages.Release) -> None:
        with self._lock:
            self._given.pop(release.trip, None)
            self._given[release.trip] = release
            if len(self._given) > _MOST:
                del self._given[next(iter(self._given))]

    def names(self, held: _Held | None) -> bool:
        """This trip may pass, or what is kept, once."""
        return held is not None and held.id in self._given

    def use(self, held: _Held | None) -> messages.Release | None:
        """The release of it, which is gone afterwards; None if there is none."""
        with self._lock:
            return None if held is None else self._given.pop(held.id, None)
