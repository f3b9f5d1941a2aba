"""etcd's side of a walk, beside ZooKeeper's: both are compared piece by piece.

etcd bounds a page by a number of keys, never by bytes, and tells no sizes without the values. But
what a walk has just read says how large the same keys in etcd will be. So the nodes are gathered
first, up to a number of bytes, and then etcd is asked for the range of just these keys; nodes of
the next piece are gathered meanwhile. (A range that ends there also costs etcd less: it counts all
keys of the range that it is asked for, whatever the limit.)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import plan
from zk2etcd_workers.walk import etcd_keys, marked, shelf
from zk2etcd_workers.walk.predicted import echo

_FIRST_NODES = 64
_PIECE_NODES = 4_000
_PIECE_KEYS = 16_000
_PIECE_BYTES = 2 * 1024 * 1024

Reader = etcd_keys.Reader | shelf.Reader | marked.Reader | echo.Echo
_Columns = tuple[Sequence[bytes], Sequence[bytes]]


def differences(
    walk: Iterable[plan.Run], reader: Reader, buckets: int, counts: plan.Counts
) -> plan.Differences:
    """What differs between a walk and etcd.

    :param buckets: how many the prefix has: the walk is of one of them.
    :raises errors.EtcdError: a page was refused or not answered.
    """
    found = _differences(walk, reader, buckets, counts)
    return _ours(found, reader) if isinstance(reader, marked.Reader) else found


def _ours(found: plan.Differences, reader: marked.Reader) -> plan.Differences:
    """Strangers' keys were left out, so their nodes look as if they were missing."""
    for each in found:
        if isinstance(each, plan.Extra) or not reader.theirs:
            yield each
            continue
        reader.met.saw([write.path for write in each if write.key in reader.theirs])
        if ours := [write for write in each if write.key not in reader.theirs]:
            yield ours
    reader.ended()


def _differences(
    walk: Iterable[plan.Run], reader: Reader, buckets: int, counts: plan.Counts
) -> plan.Differences:
    asked: tuple[list[plan.Run], Iterator[plan.Held]] | None = None

    def room() -> int:
        """A bucket's range holds the keys of the others too."""
        return min(_PIECE_BYTES, reader.room()) // buckets

    for runs, size in _gathered(walk, buckets, room):
        page = reader.part(runs[-1].keys[-1], size * buckets)
        if asked is not None:
            yield from plan.merge(*asked, counts)
        asked = runs, page
    if asked is not None:
        yield from plan.merge(*asked, counts)
    # What only etcd has, after all that ZooKeeper has: nobody will look at the values.
    yield from plan.merge((), reader.rest(), counts)


def few(
    walk: Iterator[plan.Run],
    held: Callable[[int, int], Iterable[_Columns] | None],
    counts: plan.Counts,
) -> tuple[Iterator[plan.Run], plan.Differences | None]:
    """What differs between a walk of few nodes and etcd; None if they are not few.
    And the walk, as it was.

    :param held: all that etcd has beside so many nodes, of so many bytes; None if it is not to be
        had at once.
    :raises errors.EtcdError: it was not read.
    """
    runs: list[plan.Run] = []
    nodes = 0
    for run in walk:
        runs.append(run)
        nodes += len(run.keys)
        if nodes >= _FIRST_NODES:
            return itertools.chain(runs, walk), None
    size = sum(len(value or b"") for run in runs for value in run.values)
    if (columns := held(nodes, size)) is None:
        return iter(runs), None
    return iter(()), plan.merge(runs, itertools.starmap(plan.Held, columns), counts)


def _gathered(
    walk: Iterable[plan.Run], buckets: int, room: Callable[[], int]
) -> Iterator[tuple[list[plan.Run], int]]:
    """Runs of nodes, some at a time, and their bytes in etcd: few at first, so that writing begins
    soon.

    :param room: how many bytes they may come to, as of now.
    """
    most = _FIRST_NODES
    runs: list[plan.Run] = []
    nodes = size = 0
    for run, of_run in _cut(walk, room):
        if runs and (nodes >= most or size + of_run > room()):
            yield runs, size
            runs, nodes, size = [], 0, 0
            most = min(most * 4, _PIECE_NODES, _PIECE_KEYS // buckets)
        runs.append(run)
        nodes += len(run.keys)
        size += of_run
    if runs:
        yield runs, size


def _cut(walk: Iterable[plan.Run], room: Callable[[], int]) -> Iterator[tuple[plan.Run, int]]:
    """The runs, those of large values in parts of at most so many bytes: (a part, its bytes)."""
    for run in walk:
        size = sum(map(len, run.keys)) + sum(map(len, filter(None, run.values)))
        size += wire.KEY_BYTES * len(run.keys)
        if size <= (most := room()):
            if run.keys:
                yield run, size
            continue
        part, size = plan.Run(), 0
        for key, value, node in zip(run.keys, run.values, run.nodes, strict=True):
            each = len(key) + wire.KEY_BYTES + len(value or b"")
            if part.keys and size + each > most:
                yield part, size
                part, size = plan.Run(), 0
            part.add(key, node)
            size += each
        yield part, size
