"""etcd's pages, read once for all buckets of a prefix that a worker has.

etcd can be asked for ranges only, and the keys of all buckets lie in each. So what one bucket's
walk asks for holds what the other walks, which are at about the same place, are about to ask for:
it stands on a shelf, taken apart by bucket, until they all have passed it, or there is too much of
it. Nobody waits for another's walk: who is far behind, or alone, reads for itself. Who waits for
the same answer has the same error, too: else one after the other would wait as long.
"""

from __future__ import annotations

import bisect
import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import line, mapping, plan
from zk2etcd_workers.walk import etcd_keys

_FIRST_PAGE = 64
_KEPT_BYTES = 16 * 1024 * 1024

_Answer = Callable[[], wire.Page]
_Pause = Callable[[float], None]


class _Page:
    """All keys in [start, end), once it has been read: it may end sooner than was asked for."""

    def __init__(
        self, start: bytes, end: bytes, revision: int, expected: int, answer: _Answer
    ) -> None:
        self.start, self.end = start, end
        self.expected = expected
        self.revision, self.answer = revision, answer
        self.lock = threading.Lock()
        self.parts: Sequence[plan.Held] | None = None
        self.error: errors.Zk2EtcdError | None = None
        self.size = 0

    def has(self, place: bytes) -> bool:
        return self.start <= place < self.end

    def part(self, bucket: int, start: bytes, end: bytes) -> plan.Held:
        """A bucket's keys of those in [start, end)."""
        assert self.parts is not None
        keys, values = self.parts[bucket]
        at, to = bisect.bisect_left(keys, start), bisect.bisect_left(keys, end)
        return plan.Held(keys[at:to], values[at:to])


class Shelf:
    """For the walks of one `party`: they were begun together, or may be taken for it."""

    def __init__(
        self, client: etcd.Client, shard: mapping.Mapping, party: str, *, yields: bool
    ) -> None:
        self.party = party
        self.places: dict[Reader, bytes] = {}
        """Up to where each of its readers has come."""
        self.rollbacks = client.rollbacks
        self.error: errors.Zk2EtcdError | None = None
        self._client = client
        self._shard = shard
        self._yielding = line.Yielding(time.monotonic()) if yields else None
        self._rest_until = 0.0
        self._limit = _FIRST_PAGE
        self._sparse = False
        self._lock = threading.Lock()
        self._pages: list[_Page] = []
        self._own: wire.Page | None = None
        self._revision = 0

    def own(self) -> wire.Page:
        """The page of the target's own key: its revision is the oldest that is read here.

        :raises errors.EtcdError: etcd did not answer.
        """
        with turn.holding(self._lock):
            _raise_anew(self.error)
            if self._own is None:
                try:
                    self._own = self._client.range(self._shard.target)
                except errors.Zk2EtcdError as error:
                    self.error = copy.copy(error)
                    raise
                self._revision = self._own.revision
            return self._own

    def room(self) -> int:
        """See `etcd_keys.Reader.room`."""
        return _KEPT_BYTES if self._sparse else self._client.learned.down.room // 2

    def ask(self, place: bytes, end: bytes, expected: int, pause: _Pause) -> _Page:
        """The page with this place, as far as `end`; if it is not there, it is asked for now."""
        expected = min(expected, self._client.learned.down.room // 2)
        with turn.holding(self._lock):
            if (found := self._at(place)) is not None:
                return found
        if (rest := self._rest_until - time.monotonic()) > 0:
            pause(rest)
        etcd_keys.wait_for_room(self._client, expected, pause)
        with turn.holding(self._lock):
            if (found := self._at(place)) is not None:
                return found
            # Only up to what somebody else has asked for.
            end = min((page.start for page in self._pages if place < page.start < end), default=end)
            page = _Page(place, end, self._revision, expected, self._send(place, end, expected))
            self._pages.append(page)
            return page

    def _at(self, place: bytes) -> _Page | None:
        return next((page for page in self._pages if page.has(place)), None)

    def _send(self, start: bytes, end: bytes, expected: int) -> _Answer:
        limit = self._client.most_keys(self._limit)
        return self._client.range_soon(
            start, end, limit=limit, revision=self._revision, expected=expected
        )

    def read(self, page: _Page) -> None:
        """Have the page's answer.

        :raises errors.EtcdError: it was refused or not answered.
        """
        with turn.holding(page.lock):
            _raise_anew(page.error)
            if page.parts is None:
                try:
                    self._arrived(page, self._answer(page))
                except errors.Zk2EtcdError as error:
                    page.error = copy.copy(error)
                    with turn.holding(self._lock):
                        self._pages = [each for each in self._pages if each is not page]
                    raise

    def _answer(self, page: _Page) -> wire.Page:
        while True:
            try:
                return page.answer()
            except errors.Compacted:
                with turn.holding(self._lock):
                    if self._revision == page.revision:
                        self._revision = self._client.range(self._shard.target).revision
                    page.revision = self._revision
                    page.answer = self._send(page.start, page.end, page.expected)

    def _arrived(self, page: _Page, answer: wire.Page) -> None:
        parts = _taken_apart(self._shard, answer)
        now = time.monotonic()
        seconds = self._client.rest_after(len(answer.keys))
        if self._yielding is not None:
            seconds = max(seconds, self._yielding.saw(answer.size, answer.took, now))
        with turn.holding(self._lock):
            if answer.more:
                page.end = answer.keys[-1] + b"\0"
            page.parts, page.size = parts, answer.size
            self._rest_until = max(self._rest_until, now + seconds)
            room = self._client.learned.down.room
            self._limit = etcd_keys.next_limit(answer, self._limit, room)
            self._sparse = etcd_keys.is_sparse(answer, page.expected)
            self._clear()

    def moved(self, reader: Reader, place: bytes) -> None:
        with turn.holding(self._lock):
            self.places[reader] = place
            self._clear()

    def left(self, reader: Reader) -> None:
        with turn.holding(self._lock):
            self.places.pop(reader, None)
            self._clear()

    def _clear(self) -> None:
        """Let go of what all have passed, and, if there is too much, of what is furthest behind."""
        last = min(self.places.values(), default=None)
        kept = [page for page in self._pages if last is not None and page.end > last]
        size = sum(page.size for page in kept)
        for page in sorted(kept, key=lambda each: each.start):
            if size <= _KEPT_BYTES:
                break
            if page.parts is not None:
                size -= page.size
                kept.remove(page)
        self._pages = kept


def _raise_anew(error: errors.Zk2EtcdError | None) -> None:
    """Of its own: each thread adds its frames to the one that it raises."""
    if error is not None:
        raise copy.copy(error)


def _taken_apart(shard: mapping.Mapping, page: wire.Page) -> Sequence[plan.Held]:
    """What of a page is each bucket's."""
    keys: list[list[bytes]] = [[] for _ in range(shard.buckets)]
    values: list[list[bytes]] = [[] for _ in range(shard.buckets)]
    for bucket, start, end in shard.runs(page.keys):
        keys[bucket] += page.keys[start:end]
        values[bucket] += page.values[start:end]
    return list(map(plan.Held, keys, values))


class Reader:
    """One bucket's part of a shelf: what `etcd_keys.Reader` is to a shard that is alone."""

    def __init__(
        self, shelf: Shelf, client: etcd.Client, shard: mapping.Mapping, pause: _Pause
    ) -> None:
        self._shelf = shelf
        self._client = client
        self._shard = shard
        self._pause = pause
        self._start, self._end = shard.below()
        # For `to: /`, whose below-range is [/, 0), the range shows the key `/` itself.
        self._lacks_own = self._start != shard.target and shard.owns_key(shard.target)
        shelf.moved(self, b"")

    def close(self) -> None:
        self._shelf.left(self)

    def look(self) -> None:
        """It had no keys when they were counted, since when it is ours: nothing is read, though
        other workers may have put those of their buckets since."""
        self._start = self._end
        self._shelf.moved(self, self._end)

    def room(self) -> int:
        return self._shelf.room()

    def part(self, last: bytes, expected: int) -> Iterator[plan.Held]:
        """The keys after those of the part before, up to `last`. The first page is asked for now;
        the next part may be, before this one is read.

        :param expected: bytes of all buckets' keys there and their values, about.
        """
        end = min(self._shard.after(last), self._end)
        start, self._start = self._start, max(self._start, end)
        place = self._shard.next(start)
        page = self._shelf.ask(place, end, expected, self._pause) if place < end else None
        lacks_own, self._lacks_own = self._lacks_own, False
        return self._read(self._shelf.own() if lacks_own else None, page, place, end, expected)

    def _read(
        self,
        own: wire.Page | None,
        page: _Page | None,
        place: bytes,
        end: bytes,
        expected: int,
    ) -> Iterator[plan.Held]:
        if own is not None:
            yield plan.Held(own.keys, own.values)
        while page is not None:
            self._shelf.read(page)
            if not page.has(place):
                page = self._shelf.ask(place, end, expected, self._pause)
                continue
            start, place = place, min(self._shard.next(page.end), end)
            ahead = self._shelf.ask(place, end, expected, self._pause) if place < end else None
            held = page.part(self._shard.bucket, start, end)
            self._shelf.moved(self, place)
            if held.keys:
                yield held
            page = ahead

    def rest(self) -> Iterator[plan.Held]:
        """All keys after those of the last part, which are few: they are read for itself."""
        own = self._shelf.own()
        alone = etcd_keys.Reader(self._client, self._shard, self._pause, own=own)
        alone.go_on(self._start, has_own=not self._lacks_own)
        return alone.rest()


class Shelves:
    """Those of a worker."""

    def __init__(self, client: etcd.Client) -> None:
        self.numbers = etcd_keys.Numbers(client)
        self._client = client
        self._lock = threading.Lock()
        self._shelves: dict[tuple[bytes, int], Shelf] = {}

    def reader(
        self,
        shard: mapping.Mapping,
        party: str,
        since: int,
        pause: _Pause,
        *,
        yields: bool = False,
    ) -> Reader:
        """:param since: nothing is read at an earlier revision than this.

        :raises errors.EtcdError: etcd did not answer.
        """
        which = shard.target, shard.buckets
        while True:
            with turn.holding(self._lock):
                shelf = self._shelves.get(which)
                if shelf is None or not self._may_join(shelf, party):
                    shelf = Shelf(self._client, shard, party, yields=yields)
                    self._shelves[which] = shelf
                reader = Reader(shelf, self._client, shard, pause)
            try:
                if shelf.own().revision >= since:
                    return reader
            except BaseException:
                reader.close()
                raise
            reader.close()
            with turn.holding(self._lock):
                if self._shelves.get(which) is shelf:
                    del self._shelves[which]

    def _may_join(self, shelf: Shelf, party: str) -> bool:
        """It is still read, without an error, and etcd has not been put back since: a revision of
        before that says nothing of what is there now."""
        same = shelf.party == party and shelf.rollbacks == self._client.rollbacks
        return same and bool(shelf.places) and shelf.error is None
