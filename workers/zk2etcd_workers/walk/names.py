"""The names of a directory's children in byte order, as a walk needs them.

ZooKeeper lists them in no order. A long listing (`tree.Packed`) is dealt into parts, by names that
were drawn from it, so that each name of a part comes before those of the next; a part is sorted,
and its names made, when the walk comes to it, and forgotten behind it.
"""

from __future__ import annotations

import array
import bisect
import collections
import itertools
from collections.abc import Callable, Sequence
from typing import overload

from zk2etcd_workers.model import mapping, tree

_PART = 2_048
_DRAWN = 16
"""Names that are drawn for each part: parts are then of nearly the same length."""
_KEPT = 8
"""Parts whose names are kept: more than lie between what is read ahead and what is being used."""
_BEAT_EVERY = 8_192

Wanted = Callable[[bytes], bool]


def wanted(shard: mapping.Mapping, parent: bytes) -> Wanted | None:
    """Which children of `parent` are the shard's: of its root's those of its bucket, and none that
    is excluded; None: all are."""
    if not shard.picks and (shard.buckets == 1 or parent != shard.source):
        return None
    kept = _kept(shard, parent)
    buckets = shard.buckets if parent == shard.source else 1
    if buckets == 1:
        return kept
    return lambda name: (
        mapping.bucket(name, buckets) == shard.bucket and (kept is None or kept(name))
    )


def _kept(shard: mapping.Mapping, parent: bytes) -> Wanted | None:
    """Which of them are to be walked, as far as patterns and paths say."""
    only = shard.only
    if only is not None and not only(parent):
        return lambda name: not shard.is_closed(tree.join(parent, name))
    excluded, leaves_out = frozenset(shard.excluded), shard.leaves_out
    if leaves_out is None or not leaves_out.may_match_below(parent):
        return (lambda name: tree.join(parent, name) not in excluded) if excluded else None
    return lambda name: not ((path := tree.join(parent, name)) in excluded or leaves_out(path))


def ordered(
    listing: tree.Listing, which: Wanted | None, beat: Callable[[], object]
) -> Sequence[bytes]:
    """Those of them that are wanted, in byte order. `beat` is called now and then."""
    if isinstance(listing, list):  # far quicker to tell than the other, which is a Sequence
        return sorted(listing if which is None else filter(which, listing))
    return Ordered(listing, which, beat)


class Ordered(Sequence[bytes]):
    """What `ordered` makes of a long listing. A part's names are made when one of them is asked
    for; so they are to be asked for in their order, more or less."""

    def __init__(
        self, listing: tree.Packed, which: Wanted | None, beat: Callable[[], object]
    ) -> None:
        self._listing = listing
        self._parts = _dealt(listing, which, beat)
        self._starts = list(itertools.accumulate(map(len, self._parts), initial=0))
        self._made: collections.OrderedDict[int, list[bytes]] = collections.OrderedDict()
        self._last: tuple[int, list[bytes]] = (0, [])
        """The part that was asked for last: where it begins, and its names."""

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            start, end, _ = at.indices(len(self))
            return self._cut(start, end)
        first, names = self._last
        if not first <= at < first + len(names):
            part = self._part_of(at)
            first, names = self._last = self._starts[part], self._names(part)
        return names[at - first]

    def _cut(self, start: int, end: int) -> list[bytes]:
        """Neighbours, none of them counted from the end."""
        found: list[bytes] = []
        while start < end:
            part = self._part_of(start)
            first = self._starts[part]
            found += self._names(part)[start - first : end - first]
            start = self._starts[part + 1]
        return found

    def _part_of(self, at: int) -> int:
        return bisect.bisect_right(self._starts, at) - 1

    def _names(self, part: int) -> list[bytes]:
        names = self._made.get(part)
        if names is None:
            names = self._made[part] = sorted(map(self._listing.__getitem__, self._parts[part]))
            if len(self._made) > _KEPT:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(part)
        return names


def _dealt(
    listing: tree.Packed, which: Wanted | None, beat: Callable[[], object]
) -> list[array.array[int]]:
    """Their places in the listing, in parts."""
    step = max(1, _PART // _DRAWN)
    ends = sorted(listing[::step])[_DRAWN::_DRAWN]
    parts = [array.array("I") for _ in range(len(ends) + 1)]
    part_of = bisect.bisect_right
    for place, name in enumerate(listing):
        if which is None or which(name):
            parts[part_of(ends, name)].append(place)
        if not place % _BEAT_EVERY:
            beat()
    return parts
