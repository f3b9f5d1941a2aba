"""The keys of a shard as etcd has them, in ascending order, at a pinned revision."""

from __future__ import annotations

import contextlib
import copy
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import line, mapping, paging, plan

_FIRST_PAGE = 64
_LARGEST_PAGE = 5_200
"""More than a piece of a walk has (`beside`), so that each is one page. Of two, the second would be
asked for once the first is there, and waited for: an eighth of the time of a full sync."""
_LARGEST_OF_KEYS = 16_000
"""Each page has etcd count on to its end: 100,000 keys cost it a sixth less than with 10,000."""
_PAGE_BYTES = 4 * 1024 * 1024
_MOST_BYTES = 4 * _PAGE_BYTES
"""Of a page, if all of its values were the largest that is known."""
_LEAST_PAGE = 8
_KEY_BYTES = 256
"""Of a key without its value, beside others like it, at most as a rule."""

_SPARSE = 16
_LOOK_AGAIN = 0.01


class Reader:
    """Reads the target's own key, then those below it, part by part; foreign and excluded keys
    included, those of other buckets not.

    Pages adapt to the size of what they hold, and the next one is under way while one is used.
    If etcd compacted the revision, it goes on from the last key at a new one. It rests before a
    page as long as its client and `model/line` say.

    :raises errors.EtcdError: a page was refused or not answered.
    """

    def __init__(
        self,
        client: etcd.Client,
        shard: mapping.Mapping,
        pause: Callable[[float], None] = time.sleep,
        *,
        yields: bool = False,
        own: wire.Page | None = None,
    ) -> None:
        """:param pause: waits for so many seconds.
        :param yields: it rests too while etcd is slow.
        :param own: the target's own key, if it is known at the revision that is to be read.
        """
        self._pause = pause
        self._yielding = line.Yielding(time.monotonic()) if yields else None
        self._rest_until = 0.0
        self._client = client
        self._shard = shard
        self._start, self._end = shard.below()
        own = own or client.range(shard.target)
        self._revision = own.revision
        # For `to: /`, whose below-range is [/, 0), the range shows the key `/` itself.
        self._own: wire.Page | None = own if self._start != shard.target else None
        self._limit, self._most = _FIRST_PAGE, _LARGEST_PAGE
        self._sparse = False

    def part(self, last: bytes, expected: int) -> Iterator[plan.Held]:
        """The keys after those of the part before, up to `last`. The first page is asked for now;
        the next part may be, before this one is read.

        :param expected: bytes of these keys and their values, about.
        """
        end = min(self._shard.after(last), self._end)
        start, self._start = self._start, max(self._start, end)
        return self._pages(start, end, min(expected, self._client.learned.down.room // 2))

    def expects(self, largest: int) -> None:
        """No value is larger than that, as far as is known: what is asked for before anything else
        tells its sizes is bounded by it."""
        self._most = max(_LEAST_PAGE, min(_MOST_BYTES // (largest + _KEY_BYTES), _LARGEST_PAGE))
        self._limit = min(self._limit, self._most)

    def room(self) -> int:
        """Bytes that a part may come to, as of now: two are under way, if etcd has them."""
        return _PAGE_BYTES if self._sparse else self._client.learned.down.room // 2

    @property
    def revision(self) -> int:
        """At which the next page is read."""
        return self._revision

    def look(self) -> None:
        """It had no keys when they were counted, since when it is ours. See that there is nothing
        to read: then no part is asked for, behind the Txns of the one before it. Nor is it of a
        bucket, whose range has what other workers have put meanwhile."""
        if self._shard.buckets > 1:
            self._start = self._end
            return
        if self._own is not None and self._own.keys:
            return
        with contextlib.suppress(errors.Compacted):
            if not self._client.range(
                self._start, self._end, limit=1, revision=self._revision, keys_only=True
            ).keys:
                self._start = self._end

    def close(self) -> None:
        """Nobody else is told."""

    def go_on(self, start: bytes, *, has_own: bool) -> None:
        """What comes before `start` has been read, and, with `has_own`, the target's own key."""
        self._own, self._start = None if has_own else self._own, start

    def rest(self, *, keys_only: bool = True) -> Iterator[plan.Held]:
        """All keys after those of the last part."""
        start, self._start = self._start, self._end
        return self._pages(start, self._end, _FIRST_PAGE * _KEY_BYTES, keys_only=keys_only)

    def _pages(
        self, start: bytes, end: bytes, expected: int, *, keys_only: bool = False
    ) -> Iterator[plan.Held]:
        own, self._own = self._own, None
        pages = paging.Pages(start, end, self._shard.next)
        ask = None if pages.done else self._ask(pages, expected, keys_only)
        return self._read(own, ask, pages, expected, keys_only)

    def _ask(self, pages: paging.Pages, expected: int, keys_only: bool) -> Callable[[], wire.Page]:
        fitting = max(_FIRST_PAGE, self._client.learned.down.room // 2 // _KEY_BYTES)
        most = min(_LARGEST_OF_KEYS, fitting) if keys_only else self._limit
        limit = self._client.most_keys(most)
        start, end = pages.start, pages.stop

        def send() -> Callable[[], wire.Page]:
            options: dict[str, Any] = {"revision": self._revision, "keys_only": keys_only}
            return self._client.range_soon(start, end, limit=limit, expected=expected, **options)

        if (rest := self._rest_until - time.monotonic()) > 0:
            self._pause(rest)
        wait_for_room(self._client, expected, self._pause)
        sent = send()

        def answer() -> wire.Page:
            pending = sent
            while True:
                try:
                    return pending()
                except errors.Compacted:
                    self._revision = self._client.range(self._shard.target).revision
                    pending = send()

        return answer

    def _read(
        self,
        own: wire.Page | None,
        ask: Callable[[], wire.Page] | None,
        pages: paging.Pages,
        expected: int,
        keys_only: bool,
    ) -> Iterator[plan.Held]:
        if own is not None:
            yield self._held(own)
        while ask is not None:
            page, ask = ask(), None
            self._rest(page)
            if not keys_only:
                limit = next_limit(page, self._limit, self._client.learned.down.room)
                self._limit = min(limit, self._most)
                self._sparse = is_sparse(page, expected)
            pages.saw(page.keys, page.total, more=page.more)
            if not pages.done:
                expected = page.size if page.keys else _FIRST_PAGE * _KEY_BYTES
                ask = self._ask(pages, expected, keys_only)
            if page.keys:
                yield self._held(page)

    def _rest(self, page: wire.Page) -> None:
        now = time.monotonic()
        seconds = self._client.rest_after(len(page.keys))
        if self._yielding is not None:
            seconds = max(seconds, self._yielding.saw(page.size, page.took, now))
        self._rest_until = max(self._rest_until, now + seconds)

    def _held(self, page: wire.Page) -> plan.Held:
        """What of a page is this shard's."""
        if self._shard.buckets == 1:
            return plan.Held(page.keys, page.values)
        keys: list[bytes] = []
        values: list[bytes] = []
        for bucket, start, end in self._shard.runs(page.keys):
            if bucket == self._shard.bucket:
                keys += page.keys[start:end]
                values += page.values[start:end]
        return plan.Held(keys, values)


def stream(
    client: etcd.Client,
    shard: mapping.Mapping,
    pause: Callable[[float], None] = time.sleep,
    *,
    keys_only: bool = False,
) -> Iterator[plan.Held]:
    """All of them, from the first on."""
    return Reader(client, shard, pause).rest(keys_only=keys_only)


def number(
    client: etcd.Client, shard: mapping.Mapping, pause: Callable[[float], None] = time.sleep
) -> int:
    """How many keys `stream` yields, without what is left out: for what is no range, as etcd itself
    can count nothing else."""
    pages = stream(client, shard, pause, keys_only=True)
    return sum(_counted(shard, page.keys) for page in pages)


def _counted(shard: mapping.Mapping, keys: Sequence[bytes]) -> int:
    """How many of these are not left out by the configuration."""
    return sum(not shard.leaves_out_key(key) for key in keys) if shard.picks else len(keys)


class Numbers:
    """`number`, for the buckets of a prefix that a worker has: who counts one counts all of them,
    for those that want to know at the same time."""

    def __init__(self, client: etcd.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        # By target, number of buckets, and how often etcd has been put back: the revision, and
        # how many keys each bucket has.
        self._found: dict[tuple[bytes, int, int], tuple[int, Sequence[int]]] = {}
        self._attempts = 0
        self._error: errors.Zk2EtcdError | None = None

    def of(self, shard: mapping.Mapping, since: int, pause: Callable[[float], None]) -> int:
        """:param since: the revision before which others may have written; it has not written
        since then itself.
        """
        which, attempts = (shard.target, shard.buckets, self._client.rollbacks), self._attempts
        with turn.holding(self._lock):
            revision, counts = self._found.get(which, (0, ()))
            if counts and revision >= since:
                return counts[shard.bucket]
            if self._error is not None and self._attempts > attempts:
                raise copy.copy(self._error)  # met while this one waited
            self._attempts, self._error = self._attempts + 1, None
            try:
                found = self._count(shard, pause)
            except errors.Zk2EtcdError as error:
                self._error = copy.copy(error)
                raise
            self._found[which] = found
        return found[1][shard.bucket]

    def _count(
        self, shard: mapping.Mapping, pause: Callable[[float], None]
    ) -> tuple[int, Sequence[int]]:
        whole = mapping.Mapping(shard.source.decode(), shard.target.decode())
        reader = Reader(self._client, whole, pause)
        revision, counts = reader.revision, [0] * shard.buckets
        for page in reader.rest():
            for bucket, start, end in shard.runs(page.keys):
                counts[bucket] += _counted(shard, page.keys[start:end])
        return revision, counts


def next_limit(page: wire.Page, limit: int, room: int) -> int:
    """How many keys the next page may have, by how large those of the last one were, of a line
    with so much room: two pages are under way. After none, nobody knows how large they are."""
    if not page.keys:
        return _FIRST_PAGE
    fitting = min(_PAGE_BYTES, room // 2) * len(page.keys) // max(page.size, 1)
    return max(_LEAST_PAGE, min(fitting, limit * 4, _LARGEST_PAGE))


def is_sparse(page: wire.Page, expected: int) -> bool:
    """It had hardly any of so many bytes that were expected."""
    return page.size * _SPARSE < expected


def wait_for_room(client: etcd.Client, expected: int, pause: Callable[[float], None]) -> None:
    """Until the line carries so many bytes more."""
    while not client.learned.down.fits(expected, time.monotonic()):
        pause(_LOOK_AGAIN)
