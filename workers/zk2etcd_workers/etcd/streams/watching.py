"""What changes in ranges of keys, for somebody who takes the latest of each now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd.streams import stream

MOST_BYTES = 16 * 1024 * 1024
"""Of keys and values that nobody has taken yet; more end the watch."""
_DELETE = 1
_TOGETHER = 0.01
"""Seconds after which all of a revision has been told, in whatever ranges."""


class Change(NamedTuple):
    """The last that happened to a key: what it holds now, None if it was deleted; at which
    revision, and the lease that it hangs on, 0 for none."""

    key: bytes
    value: bytes | None
    revision: int
    lease: int = 0


class Scope(NamedTuple):
    """What is watched: each [key, end), from the revision after `since` on. `silence`: how many
    seconds without a sign of life end it."""

    ranges: Sequence[tuple[bytes, bytes]]
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
        self._newest: dict[bytes, Change] = {}
        """Of the newest revision: of another range there may be more to come."""
        self._newest_at = 0.0
        self._together = _TOGETHER if len(scope.ranges) > 1 else 0.0
        self._bytes = 0
        super().__init__(place, scope.silence)
        for start, end in scope.ranges:
            self.watch(start, start, end, scope.since)

    def take(self) -> Sequence[Change]:
        """What changed since the last time, in order of revision, and no revision in part."""
        with self._lock:
            if time.monotonic() - self._newest_at >= self._together:
                self._complete()
            changes, self._changes = self._changes, {}
            self._bytes = sum(map(_size, self._newest.values()))
        return sorted(changes.values(), key=lambda change: change.revision)

    @property
    def holds(self) -> bool:
        """There is something to take in a moment."""
        return bool(self._newest)

    def _complete(self) -> None:
        newest, self._newest = self._newest, {}
        for change in newest.values():
            self._bytes -= _size(change)
            self._keep(self._changes, change)

    def _keep(self, among: dict[bytes, Change], change: Change) -> None:
        last = among.get(change.key)
        self._bytes += _size(change) - (_size(last) if last is not None else 0)
        among[change.key] = change

    def on_events(self, tag: Hashable, events: Sequence[Any]) -> errors.EtcdError | None:
        del tag
        changes = [
            Change(kv.key, None if event.type == _DELETE else kv.value, kv.mod_revision, kv.lease)
            for event in events
            for kv in (event.kv,)
        ]
        with self._lock:
            for change in changes:
                self._add(change)
        self._told()
        if self._bytes > MOST_BYTES:
            return errors.EtcdError("a watch was not listened to")
        return None

    def _add(self, change: Change) -> None:
        newest = next(iter(self._newest.values()), None)
        if newest is None or change.revision >= newest.revision:
            if newest is not None and change.revision > newest.revision:
                # etcd tells of one revision in all ranges before it tells of the next.
                self._complete()
            self._keep(self._newest, change)
            self._newest_at = time.monotonic()
        elif (last := self._changes.get(change.key)) is None or last.revision < change.revision:
            self._keep(self._changes, change)

    def on_end(self) -> None:
        self._told()


def _size(change: Change) -> int:
    return len(change.key) + len(change.value or b"")
