"""What a shard has in etcd where only marked keys are its own: pages of keys, with those of their
marks beside them, read at one revision.

Of both, what is in the same stretch is compared: a key whose mark says when it was created is ours;
another is a stranger's, and if ZooKeeper has its node that is a conflict; a mark that says nothing
of a key is an orphan. If etcd compacted the revision, both are read anew at another one: a key
without its mark would look like a stranger's, which no answer of two moments may say.

Where all that is ours is known by heart, the marks of a stretch are only counted: as many marks as
there are keys that were created when ours were say that nothing is otherwise. Else they are read.
"""

from __future__ import annotations

import bisect
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from zk2etcd import errors
from zk2etcd_workers.belonging import marks
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.model import line, mapping, paging, plan
from zk2etcd_workers.walk import etcd_keys

_FIRST_PAGE = 64
_MOST_OF_MARKS = 10_000
_KEY_BYTES = 256
_MOST_ORPHANS = 2_000
_Answer = Callable[[], wire.Page]


class _Asked(NamedTuple):
    """Both pages of [start, stop), under way at a `revision`."""

    start: bytes
    stop: bytes
    expected: int
    keys_only: bool
    revision: int
    keys: _Answer
    marks: _Answer
    """If they are `counted`, a page of none, that says how many there are."""
    counted: bool


class _Marked(NamedTuple):
    """Marks in columns: of which key, what each says, and when it was put."""

    keys: Sequence[bytes]
    said: Sequence[int]
    own: Sequence[int]


class _Known(NamedTuple):
    """The places of ours among the keys of a page, by heart: its marks were only counted."""

    ours: Sequence[int]


class Meets(Protocol):
    """Told of the paths whose keys are strangers', and when a walk has told of all of them."""

    def saw(self, paths: Sequence[bytes]) -> None: ...
    def ended(self) -> None: ...


class Reader:
    """As `etcd_keys.Reader`, but what it yields are ours alone. `theirs`: the strangers' keys among
    those of the part that is being read; `orphans`: marks that say nothing of what is there.

    :raises errors.EtcdError: a page was refused or not answered.
    """

    def __init__(
        self,
        client: etcd.Client,
        shard: mapping.Mapping,
        of: marks.Marks,
        met: Meets,
        pause: Callable[[float], None] = time.sleep,
        *,
        yields: bool = False,
        learns: bool = False,
    ) -> None:
        """:param learns: what is ours is known by heart from then on."""
        self._client, self._shard, self._marks, self.met = client, shard, of, met
        self._pause, self._learns = pause, learns
        # Within the stretch of a bucket are the marks of others.
        self._counts = not learns and shard.buckets == 1
        self._yielding = line.Yielding(time.monotonic()) if yields else None
        self._rest_until = 0.0
        self._start, self._end = shard.below()
        # For `to: /`, whose below-range is [/, 0), the range shows the key `/` itself.
        self._lacks_own = self._start != shard.target
        self._revision = client.range(shard.target, keys_only=True).revision
        self._limit = _FIRST_PAGE
        self.theirs: set[bytes] = set()
        self.orphans: dict[bytes, marks.Title] = {}

    def room(self) -> int:
        """See `etcd_keys.Reader.room`."""
        return self._client.learned.down.room // 2

    def look(self) -> None:
        """It had no marks when they were counted: if nobody has keys there either, there is nothing
        to read. What comes later is met when it is written."""
        own = [] if not self._lacks_own else self._client.range(self._shard.target).keys
        if self._shard.buckets == 1 and not own:
            below = self._client.range(self._start, self._end, limit=1, keys_only=True)
            if not below.keys:
                self._start, self._lacks_own = self._end, False

    def close(self) -> None:
        """Nobody else is told."""

    def ended(self) -> None:
        """All of it was read, and compared."""
        self.met.ended()
        if self._learns:
            self._marks.knows_all()

    def part(self, last: bytes, expected: int) -> Iterator[plan.Held]:
        """See `etcd_keys.Reader.part`."""
        end = min(self._shard.after(last), self._end)
        start, self._start = self._start, max(self._start, end)
        return self._pages(start, end, min(expected, self._client.learned.down.room // 2))

    def rest(self, *, keys_only: bool = True) -> Iterator[plan.Held]:
        """All of ours after those of the last part."""
        start, self._start = self._start, self._end
        return self._pages(start, self._end, _FIRST_PAGE * _KEY_BYTES, keys_only=keys_only)

    def _pages(
        self, start: bytes, end: bytes, expected: int, *, keys_only: bool = False
    ) -> Iterator[plan.Held]:
        own, target = None, self._shard.target
        if self._lacks_own:
            self._lacks_own = False
            own = self._send(target, target + b"\0", 0, keys_only=keys_only)
        pages = paging.Pages(start, end, self._shard.next)
        first = None
        if not pages.done:
            first = self._ask(pages, expected, keys_only=keys_only)
        return self._read(own, first, pages, expected)

    def _ask(self, pages: paging.Pages, expected: int, *, keys_only: bool) -> _Asked:
        if (rest := self._rest_until - time.monotonic()) > 0:
            self._pause(rest)
        etcd_keys.wait_for_room(self._client, expected, self._pause)
        return self._send(pages.start, pages.stop, expected, keys_only=keys_only)

    def _send(self, start: bytes, stop: bytes, expected: int, *, keys_only: bool) -> _Asked:
        most = self._most(keys_only=keys_only)
        options: dict[str, Any] = {"revision": self._revision, "limit": most}
        soon, name = self._client.range_soon, self._marks.name
        keys = soon(start, stop, expected=expected, keys_only=keys_only, **options)
        counted = self._counts and self._marks.knows_whole
        beside = soon(name(start), name(stop), count_only=counted, **options)
        return _Asked(start, stop, expected, keys_only, self._revision, keys, beside, counted)

    def _most(self, *, keys_only: bool) -> int:
        fitting = max(_FIRST_PAGE, self._client.learned.down.room // 4 // _KEY_BYTES)
        return self._client.most_keys(
            min(_MOST_OF_MARKS, fitting) if keys_only else max(self._limit, _FIRST_PAGE)
        )

    def _read(
        self, own: _Asked | None, asked: _Asked | None, pages: paging.Pages, expected: int
    ) -> Iterator[plan.Held]:
        self.theirs.clear()
        if own is not None:
            page, beside = self._answer(own)
            yield from self._held(page, beside)
        while asked is not None:
            page, beside = self._answer(asked)
            keys_only, asked = asked.keys_only, None
            self._rest(page, len(beside.keys) if isinstance(beside, _Marked) else 0)
            if not keys_only:
                room = self._client.learned.down.room
                self._limit = etcd_keys.next_limit(page, self._limit, room)
            pages.saw(page.keys, page.total, more=page.more)
            if not pages.done:
                expected = page.size if page.keys else _FIRST_PAGE * _KEY_BYTES
                asked = self._ask(pages, expected, keys_only=keys_only)
            yield from self._held(page, beside)
            if keys_only:
                self.theirs.clear()  # Nobody wants them.

    def _answer(self, asked: _Asked) -> tuple[wire.Page, _Marked | _Known]:
        """Both sides of the keys that were told: up to the last one, if that page was cut."""
        while True:
            try:
                page = asked.keys()
                end = page.keys[-1] + b"\0" if page.more else asked.stop
                if asked.counted and (known := self._known(asked, page, end)) is not None:
                    return page, known
                return page, self._marks_before(asked, end)
            except errors.Compacted:
                if self._revision == asked.revision:
                    self._revision = self._client.range(self._shard.target).revision
                start, stop, expected, keys_only, *_ = asked
                asked = self._send(start, stop, expected, keys_only=keys_only)

    def _known(self, asked: _Asked, page: wire.Page, end: bytes) -> _Known | None:
        """None if there are more marks, or fewer, than keys that are known."""
        ours = self._marks.recognized(page.keys, marks.created(page))
        count = asked.marks().total
        if page.more:  # What was counted is also beside what its limit cut off.
            if len(ours) == len(page.keys) and count == page.total:
                return _Known(ours)
            start, end = map(self._marks.name, (asked.start, end))
            options: dict[str, Any] = {"revision": asked.revision, "count_only": True}
            count = self._client.range(start, end, **options).total
        return _Known(ours) if count == len(ours) else None

    def _page_of_marks(self, start: bytes, end: bytes, revision: int) -> wire.Page:
        name, limit = self._marks.name, self._client.most_keys(_MOST_OF_MARKS)
        return self._client.range(name(start), name(end), limit=limit, revision=revision)

    def _marks_before(self, asked: _Asked, end: bytes) -> _Marked:
        cut, more_of = len(self._marks.base), self._page_of_marks
        counted, revision = asked.counted, asked.revision
        page = more_of(asked.start, end, revision) if counted else asked.marks()
        keys = [each[cut:] for each in page.keys]
        said, own = marks.columns(page)
        while page.more and keys[-1] < end:
            page = more_of(keys[-1] + b"\0", end, revision)
            more, each = marks.columns(page)
            keys += [each[cut:] for each in page.keys]
            said, own = [*said, *more], [*own, *each]
            if not page.keys:
                break
        if not keys or keys[-1] < end:
            return _Marked(keys, said, own)
        till = bisect.bisect_left(keys, end)
        return _Marked(keys[:till], said[:till], own[:till])

    def _rest(self, page: wire.Page, others: int) -> None:
        now = time.monotonic()
        seconds = self._client.rest_after(len(page.keys) + others)
        if self._yielding is not None:
            seconds = max(seconds, self._yielding.saw(page.size, page.took, now))
        self._rest_until = max(self._rest_until, now + seconds)

    def _held(self, page: wire.Page, beside: _Marked | _Known) -> Iterator[plan.Held]:
        """What of a page is ours: nearly all of it, mostly."""
        created = marks.created(page)
        keys, values = page.keys, page.values
        if isinstance(beside, _Known):
            if len(beside.ours) < len(keys):
                self.theirs.update(set(keys).difference(map(keys.__getitem__, beside.ours)))
                keys, values, created = _chosen(beside.ours, keys, values, created)
        elif list(keys) != beside.keys or list(created) != list(beside.said):
            keys, values, created = self._apart(keys, values, created, beside)
        if self._shard.buckets > 1:
            mine = [
                (start, end)
                for bucket, start, end in self._shard.runs(keys)
                if bucket == self._shard.bucket
            ]
            places = [at for start, end in mine for at in range(start, end)]
            keys, values, created = _chosen(places, keys, values, created)
        if self._learns:
            self._marks.knows(keys, created)
        elif self._counts and isinstance(beside, _Marked):
            self._marks.also_knows(keys, created)
        if keys:
            yield plan.Held(keys, values)

    def _apart(
        self,
        keys: Sequence[bytes],
        values: Sequence[bytes],
        created: Sequence[int],
        beside: _Marked,
    ) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[int]]:
        """Those that are ours; strangers' keys, and marks that say nothing, are noted."""
        said = dict(zip(beside.keys, beside.said, strict=True))
        there = dict(zip(keys, created, strict=True))
        owns = self._shard.owns_key
        for key, says, own in zip(*beside, strict=True):
            found = there.get(key, 0)
            if found != says and len(self.orphans) < _MOST_ORPHANS and owns(key):
                self.orphans[key] = marks.Title(found, own)
        ours = [at for at, key in enumerate(keys) if said.get(key) == created[at]]
        self.theirs.update(key for key in keys if said.get(key) != there[key])
        return _chosen(ours, keys, values, created)


def _chosen(
    places: Sequence[int], keys: Sequence[bytes], values: Sequence[bytes], created: Sequence[int]
) -> tuple[Sequence[bytes], Sequence[bytes], Sequence[int]]:
    return (
        [keys[at] for at in places],
        [values[at] for at in places],
        [created[at] for at in places],
    )
