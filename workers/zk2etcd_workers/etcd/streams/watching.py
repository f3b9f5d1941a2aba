"""What changes in one range of keys, for somebody who takes the latest of each now and then."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd.streams import stream

MOST_BYTES = 16 * 1024 * 1024
"""Of keys and values that nobody has taken yet; more end the watch."""
_DELETE = 1


class Change(NamedTuple):
    """The last that happened to a key: what it holds now, None if it was deleted; at which
    revision, and the lease that it hangs on, 0 for none."""

    key: bytes
    value: bytes | None
    revision: int
    lease: int = 0


class Scope(NamedTuple):
    """What is watched: [key, end), from the revision after `since` on. `silence`: how many seconds
    without a sign of life end it."""

    key: bytes
    end: bytes
    since: int
    silence: float


class Watch(stream.Stream):
    """Changes are kept by key until they are taken, so that somebody who takes none for long costs
    no more memory than the keys."""

    def __init__(self, place: stream.Place, scope: Scope, told: Callable[[], None]) -> None:
        """:param told: called when there is something to take, and when it ended by itself; in a
            thread of its own.
        :raises errors.EtcdError: no member of our cluster answers.
        """
        self._told = told
        self._changes: dict[bytes, Change] = {}
        self._bytes = 0
        super().__init__(place, scope.silence)
        self.watch("", scope.key, scope.end, scope.since)

    def take(self) -> Sequence[Change]:
        """What changed since the last time, in order of revision, and no revision in part."""
        with self._lock:
            changes, self._changes, self._bytes = self._changes, {}, 0
        return sorted(changes.values(), key=lambda change: change.revision)

    def on_events(self, tag: Hashable, events: Sequence[Any]) -> errors.EtcdError | None:
        del tag
        with self._lock:
            for event in events:
                kv, deleted = event.kv, event.type == _DELETE
                value = None if deleted else kv.value
                last = self._changes.get(kv.key)
                self._bytes += _size(kv.key, value) - (_size(kv.key, last.value) if last else 0)
                self._changes[kv.key] = Change(kv.key, value, kv.mod_revision, kv.lease)
        self._told()
        if self._bytes > MOST_BYTES:
            return errors.EtcdError("a watch was not listened to")
        return None

    def on_end(self) -> None:
        self._told()


def _size(key: bytes, value: bytes | None) -> int:
    return len(key) + len(value or b"")
