"""Reads what etcd has, page by page, from ZooKeeper without listing its folders first, and lists
those of which that cannot be all. Of most folders nothing differs, and then the names need not come
from ZooKeeper, be sorted, and go back to it.
"""

from __future__ import annotations

import bisect
import collections
import itertools
import operator
from collections.abc import Iterator, Sequence

from zk2etcd_workers.model import plan, tree
from zk2etcd_workers.walk import beside, directories, etcd_keys, snapshot
from zk2etcd_workers.walk.predicted import echo, points, reader, window

MANY = 100
"""Keys from which on there is enough to gain."""
_RUN, _RUN_BYTES = 1_024, 2 * 1024 * 1024
_AHEAD = 2
"""Windows that are read at a time."""


_Found = tuple[bytes, tree.Node | None]
_KEY = operator.itemgetter(0)


class _Stream:
    """What etcd lacks at and below some paths. `head`: its first key and node that were not taken;
    None at the end."""

    def __init__(self, runs: Iterator[plan.Run]) -> None:
        self._nodes: Iterator[_Found] = itertools.chain.from_iterable(
            zip(run.keys, run.nodes, strict=True) for run in runs
        )
        self.head = next(self._nodes, None)

    def drop(self) -> None:
        self.head = next(self._nodes, None)


class Walk(snapshot.Walk):
    """As `snapshot.Walk`; once it is told of etcd's pages, it begins with what they have."""

    _readers = reader.Reader
    _reader: reader.Reader
    _echo: echo.Echo | None = None
    _lacking: list[_Stream]
    _keys = 0

    def beside(self, pages: beside.Reader, keys: int) -> beside.Reader:
        """What to compare it with in place of `pages`. To be called before it begins.

        :param keys: how many etcd has, about.
        """
        if not isinstance(pages, etcd_keys.Reader) or keys < MANY or not self._may_predict():
            return pages
        pages.expects(self._reader.largest_known)
        self._echo, self._reader.predicts, self._keys = echo.Echo(pages), True, keys
        return self._echo

    def _may_predict(self) -> bool:
        """Every node is wanted."""
        shard = self._mapping
        is_whole = not shard.narrows and tree.ROOT not in (shard.source, shard.target)
        return is_whole and not self._skip_ephemeral and self._reader.may_predict

    def _below(self, root: directories.Dir) -> Iterator[plan.Run]:
        if self._echo is None:
            yield from super()._below(root)
            return
        self._lacking = []
        ending, listed = points.folders(self._reader, root, self._keys)
        opened = list(map(window.Open, listed))
        ends = points.Points(ending, root, self._keys)
        for stretch in self._stretches(self._echo.pages(ends, self._mapping.key)):
            yield self._taken()  # The root: its own key is the first that was read.
            yield from self._judged(stretch, opened, ends=False)
        yield self._taken()
        yield from self._judged(window.Stretch(), opened, ends=True)

    def _stretches(self, pages: Iterator[plan.Held]) -> Iterator[window.Stretch]:
        """What is there of etcd's pages, as it comes; more than may be held, before it is whole."""
        windows = collections.deque[window.Window]()
        while True:
            # With none at hand, whatever else is to be read: what etcd lacks may be much.
            while not windows or (len(windows) < _AHEAD and self._reader.is_idle):
                if (held := next(pages, None)) is None:
                    break
                if paths := self._paths(held):
                    windows.append(self._reader.ask(paths))
            if not windows:
                return
            head = windows[0]
            if head.is_read or (self._reader.is_full and head.has_some):
                yield head.take()
                if head.is_read:
                    windows.popleft()
            else:
                self._reader.pump()

    def _paths(self, held: plan.Held) -> Sequence[bytes]:
        """Those below the root that a page has keys of; a foreign key has none."""
        paths = self._mapping.paths(held.keys)
        return paths if paths and paths[0] != self._mapping.source else paths[1:]

    def _judged(
        self, stretch: window.Stretch, opened: list[window.Open], *, ends: bool
    ) -> Iterator[plan.Run]:
        """What is there of a stretch of etcd's keys, and what etcd lacks beside it."""
        known = {each.directory.path for each in opened}
        for path, count in stretch.doubtful():
            if path not in known:
                opened.append(window.Open(self._reader.list(path, count)))
        self._reader.wait_for(each.directory for each in opened)
        there, last = set(stretch.paths), None if ends else stretch.last
        lacking = window.uppermost({path for each in opened for path in each.lacks(there, last)})
        opened[:] = [each for each in opened if last is not None and not each.is_passed(last)]
        if lacking:
            self._lacking.append(_Stream(self._whole(lacking)))
        if self._lacking:
            yield from self._merged(stretch, last)
        else:
            yield from self._known(stretch, 0, len(stretch.paths))
        self._reader.used(stretch.read, stretch.size)

    def _known(self, stretch: window.Stretch, start: int, end: int) -> Iterator[plan.Run]:
        """What is there of a part of it."""
        for at in range(start, end, _RUN):
            part = slice(at, min(at + _RUN, end))
            paths, run = stretch.paths[part], plan.Run()
            keys, named = (paths, None) if self._key is None else ([*map(self._key, paths)], paths)
            run.add_all(keys, named, stretch.values[part], stretch.told[part])
            self.nodes += len(paths)
            if None in stretch.told[part]:
                for path in itertools.compress(paths, (each is None for each in run.told)):
                    self._opaque.add(path)
            yield run

    def _merged(self, stretch: window.Stretch, last: bytes | None) -> Iterator[plan.Run]:
        """The same of all of it, and what etcd lacks between it, up to the path `last`; what is
        below that may have some of it, too."""
        keys = [*map(self._mapping.key, stretch.paths)]
        at, run, size = 0, plan.Run(), 0
        for key, node in self._between(None if last is None else self._mapping.key(last)):
            end = bisect.bisect_left(keys, key, at)
            if run.keys and (end > at or len(run.keys) >= _RUN or size >= _RUN_BYTES):
                yield run
                run, size = plan.Run(), 0
            yield from self._known(stretch, at, end)
            at = end + (end < len(keys) and keys[end] == key)
            run.add(key, node)
            size += 0 if node is None else len(node.data)
        yield run
        yield from self._known(stretch, at, len(keys))

    def _between(self, last: bytes | None) -> Iterator[_Found]:
        """What is at and below the paths that etcd lacks, each key once, up to this one."""
        before = b""
        while heads := [each.head for each in self._lacking if each.head is not None]:
            key, node = head = min(heads, key=_KEY)
            if last is not None and key > last:
                return
            next(each for each in self._lacking if each.head is head).drop()
            if key == before:
                self.nodes -= 1
                continue
            before = key
            yield key, node
        self._lacking.clear()

    def _whole(self, paths: Sequence[bytes]) -> Iterator[plan.Run]:
        """All that is at and below these."""
        yield from super()._below(self._reader.read_whole(paths))
        yield self._taken()
