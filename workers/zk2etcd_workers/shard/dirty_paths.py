"""Notifications -> a coalescing, bounded queue of dirty paths.

An event says only "read this path again": events lost their order against replies in kazoo's
threads, and the latest state is what counts. So a path that changed ten times is here once.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from zk2etcd import errors
from zk2etcd_workers.model import mapping

MOST = 200_000
DELETED = 2
_DELETED_KEPT = 500_000
_BITS = 1 << 19


class Dirty:
    """Paths to read again, oldest first. `mark` may be called from any thread; `take` and the rest
    by the shard's thread. `wake` is called when something arrives at an empty queue."""

    def __init__(self, shard: mapping.Mapping, limit: int, wake: Callable[[], None]) -> None:
        self._mapping = shard
        self._limit = limit
        self._wake = wake
        self._lock = threading.Lock()
        # path -> sequence number * 2, plus 1 if its NodeDeleted was seen.
        self._paths: dict[bytes, int] = {}
        self._deleted: set[int] = set()
        self._gone: set[bytes] | None = None
        self._overflowed = False
        self._sequence = 0
        self.heard = Heard()

    def event(self, kind: int, path: bytes) -> None:
        """The watch sink: it runs in the connection thread and only appends."""
        if self._mapping.narrows and not self._mapping.concerns(path):
            return
        self.heard.add(path)
        if kind == DELETED and (gone := self._gone) is not None:
            if not self._overflowed:
                gone.add(path)
            self.mark(path)
        else:
            self.mark(path, deleted=kind == DELETED)

    def mark(self, path: bytes, *, deleted: bool = False) -> None:
        with self._lock:
            first = not self._paths and not self._overflowed
            if path not in self._paths and not self._overflowed:
                if len(self._paths) >= self._limit:
                    self._overflow()
                    first = True
                else:
                    self._sequence += 2
                    self._paths[path] = self._sequence
            if deleted and self._overflowed:
                if len(self._deleted) < _DELETED_KEPT:
                    self._deleted.add(hash(path))
            elif deleted:
                self._paths[path] |= 1
        if first:
            self._wake()

    def _overflow(self) -> None:
        """Forget which paths changed; the base that follows finds out. Deletes are remembered as
        hashes, so that a mass delete that was seen is not taken for a wiped source."""
        self._overflowed = True
        self._remember_deleted()
        self._paths.clear()

    def _remember_deleted(self) -> None:
        room = _DELETED_KEPT - len(self._deleted)
        seen = (hash(path) for path, mark in self._paths.items() if mark & 1)
        self._deleted.update(itertools.islice(seen, max(0, room)))

    @property
    def has_overflowed(self) -> bool:
        """Events were dropped; `check` says so."""
        return self._overflowed

    def check(self) -> None:
        """:raises errors.Overflow: events were dropped; start over."""
        if self._overflowed:
            raise errors.Overflow(f"more than {self._limit} paths changed at once")

    def restart(self) -> None:
        """Forget everything: a base is about to read it all. Deletes seen stay known."""
        with self._lock:
            self._remember_deleted()
            self._paths.clear()
            self._gone = None
            self._overflowed = False

    def asks(self) -> None:
        """ZooKeeper is about to be asked what changed while nobody looked: an event may be part of
        the answer, so a delete that is told of now was not seen live."""
        self._gone = set()

    def answered(self) -> set[bytes]:
        """It has answered: events are live again. What is gone of what was there, and not known to
        have been deleted before."""
        gone, self._gone = self._gone or set(), None
        seen = {path for path in gone if self.was_deleted(path)}
        for path in seen:
            self.mark(path, deleted=True)
        return gone - seen

    def settle(self) -> None:
        """A base has ended: what was seen deleted before it has been dealt with. If the queue ran
        over meanwhile, another base follows, and it needs to know what was seen since."""
        with self._lock:
            if not self._overflowed:
                self._deleted.clear()

    def forget(self) -> None:
        """Forget deletes that were seen too: from now on nobody looks."""
        with self._lock:
            self._paths.clear()
            self._deleted.clear()
            self._overflowed = False

    def was_deleted(self, path: bytes) -> bool:
        """A delete of this path was seen before or during an overflow."""
        return hash(path) in self._deleted

    def take(self, count: int) -> dict[bytes, int]:
        """Remove up to `count` of the oldest; path -> its mark."""
        with self._lock:
            if len(self._paths) <= count:
                taken, self._paths = self._paths, {}
                return taken
            taken = {}
            for path in self._paths:
                taken[path] = self._paths[path]
                if len(taken) >= count:
                    break
            for path in taken:
                del self._paths[path]
            return taken

    def put_back(self, path: bytes, mark: int) -> None:
        """A dirty path that is busy waits at the end of the queue, with its age kept."""
        with self._lock:
            newer = self._paths.get(path, mark)
            self._paths[path] = min(mark & ~1, newer & ~1) | ((mark | newer) & 1)

    @property
    def sequence(self) -> int:
        """The youngest mark so far; marks grow."""
        return self._sequence + 1

    def any_until(self, mark: int) -> bool:
        """Is a path waiting that was marked at `mark` or before? The first is the oldest, unless
        paths were put back."""
        with self._lock:
            return any(each <= mark for each in self._paths.values())

    def __contains__(self, path: bytes) -> bool:
        return path in self._paths

    def __len__(self) -> int:
        return len(self._paths)


class Heard:
    """Of which paths an event came since the comparison before the last began. In a fixed 128 KiB,
    or none as long as nothing changes: it may say yes by chance, the more often the more paths
    change, and never no. One thread adds, another one asks and `turn`s."""

    def __init__(self) -> None:
        self._now: bytearray | None = None
        self._before: bytearray | None = None

    def add(self, path: bytes) -> None:
        mark = hash(path)
        if (bits := self._now) is None:
            bits = self._now = bytearray(_BITS // 8)
        for bit in (mark % _BITS, (mark >> 20) % _BITS):
            bits[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, path: bytes) -> bool:
        mark = hash(path)
        both = (mark % _BITS, (mark >> 20) % _BITS)
        return any(
            all(bits[bit >> 3] & 1 << (bit & 7) for bit in both)
            for bits in (self._now, self._before)
            if bits is not None
        )

    def turn(self) -> None:
        """A comparison begins: forget what came before the last one did."""
        self._now, self._before = None, self._now
