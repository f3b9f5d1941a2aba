"""etcd's side of a walk that has read it already."""

from __future__ import annotations

import bisect
import collections
from collections.abc import Callable, Iterator

from zk2etcd_workers.model import plan
from zk2etcd_workers.walk import etcd_keys
from zk2etcd_workers.walk.predicted import points

_FIRST = 64 * 1024
"""Bytes that are expected of the first part."""


class Echo:
    """Hands out, beside what a walk emits, the pages that it has read before that: as
    `etcd_keys.Reader`, whose pages they are."""

    def __init__(self, reader: etcd_keys.Reader) -> None:
        self._reader = reader
        self._held = collections.deque[plan.Held]()
        self._is_ahead = False
        self._keys = self._bytes = 0
        """That were read ahead."""

    def pages(self, ends: points.Points, key: Callable[[bytes], bytes]) -> Iterator[plan.Held]:
        """All that end there, for the walk.

        :param key: of a path.
        :raises errors.EtcdError: a page was refused or not answered.
        """
        asked: tuple[Iterator[plan.Held], int] | None = None
        expected = _FIRST
        for last, names in ends:
            self._is_ahead = True
            ahead = self._reader.part(key(last), expected)
            if asked is not None:
                before = self._keys, self._bytes
                yield from self._kept(asked[0])
                ends.learn(self._keys - before[0], asked[1])
                expected = max(self._bytes - before[1], _FIRST)
            asked = ahead, names
        if asked is not None:
            yield from self._kept(asked[0])

    def _kept(self, part: Iterator[plan.Held]) -> Iterator[plan.Held]:
        for held in part:
            if held.keys:  # The target may have no key of its own.
                self._held.append(held)
                self._keys += len(held.keys)
                self._bytes += sum(map(len, held.keys)) + sum(map(len, held.values))
                yield held

    def part(self, last: bytes, expected: int) -> Iterator[plan.Held]:
        """The keys after those of the part before, up to `last`; of a walk that knows nothing
        below its root they were not read yet."""
        if not self._is_ahead:
            return self._reader.part(last, expected)
        found: list[plan.Held] = []
        while self._held and self._held[0].keys[0] <= last:
            keys, values = self._held.popleft()
            if keys[-1] > last:
                cut = bisect.bisect_right(keys, last)
                self._held.appendleft(plan.Held(keys[cut:], values[cut:]))
                keys, values = keys[:cut], values[:cut]
            found.append(plan.Held(keys, values))
        return iter(found)

    def rest(self) -> Iterator[plan.Held]:
        """All keys after those of the last part; without values where they were not read."""
        while self._held:
            yield self._held.popleft()
        yield from self._reader.rest()

    def room(self) -> int:
        return self._reader.room()

    def look(self) -> None:
        self._reader.look()

    def close(self) -> None:
        self._reader.close()
