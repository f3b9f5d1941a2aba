"""The stream over which a worker hears what is written into its ranges."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.drift import ours, ranges
from zk2etcd_workers.etcd import failures
from zk2etcd_workers.etcd.streams import stream

_REVISION = operator.attrgetter("kv.mod_revision")
_KEY = operator.attrgetter("kv.key")
_TYPE = operator.attrgetter("type")
_DELETE = 1


class _Tag(NamedTuple):
    range: ranges.Range
    part: ranges.Part


class Hearing(stream.Stream):
    """Nothing is kept but keys of which it is not known yet who wrote them, and what was told with
    few of those (`ours`)."""

    parts = True

    def __init__(
        self,
        place: stream.Place,
        silence: float,
        refused: Callable[[ranges.Range, errors.EtcdError], None],
        wake: Callable[[], None],
    ) -> None:
        """:param refused: told of a range that is not watched; `wake`: called when it is over."""
        self._is_refused, self._wake = refused, wake
        super().__init__(place, silence)

    def listen(self, to: ranges.Range) -> None:
        """Have it watched, as it is to be."""
        assert to.since is not None
        for part in to.parts:
            self.watch(_Tag(to, part), part.key, part.end, to.since)

    def leave(self, one: ranges.Range) -> None:
        """Tell no more of it."""
        for part in one.parts:
            self.unwatch(_Tag(one, part))

    def on_created(self, tag: Hashable) -> None:
        assert isinstance(tag, _Tag)
        tag.range.created()
        self._wake()

    def on_events(self, tag: Hashable, events: Sequence[Any]) -> errors.EtcdError | None:
        assert isinstance(tag, _Tag)
        for change in _changes(events):
            tag.range.heard(change)
        return None

    def on_refused(self, tag: Hashable, why: errors.EtcdError) -> errors.EtcdError | None:
        if isinstance(why, failures.TokenExpired):
            return why  # No watch would be had over this stream any more.
        assert isinstance(tag, _Tag)
        self.leave(tag.range)
        self._is_refused(tag.range, why)
        return None

    def on_end(self) -> None:
        self._wake()


class _Told(NamedTuple):
    """Of one revision, or one part of it."""

    revision: int
    events: Sequence[Any]

    @property
    def size(self) -> int:
        return len(self.events)

    def read(self) -> ours.Change:
        keys = list(map(_KEY, self.events))
        if _DELETE not in map(_TYPE, self.events):
            return ours.Change(self.revision, keys)
        gone = frozenset(event.kv.key for event in self.events if event.type == _DELETE)
        return ours.Change(self.revision, keys, gone)


def _changes(events: Sequence[Any]) -> Iterator[_Told]:
    """By revision. Mostly they are all of one: they come in order, so its ends tell."""
    first = _REVISION(events[0])
    if first == _REVISION(events[-1]):
        yield _Told(first, events)
        return
    for revision, some in itertools.groupby(events, _REVISION):
        yield _Told(revision, list(some))
