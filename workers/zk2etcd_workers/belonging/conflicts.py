"""The paths of one shard whose keys are somebody else's: a right count in bounded memory, each said
once in a while.

What a walk found stands until the next one, less what was mirrored, or went, since; what was met
live comes on top.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from zk2etcd_workers.model import plan, told

_KEPT = 10_000
_SAID = 5


class Conflicts:
    """Safe to use from several threads: the shard's writes, its full sync's too, the worker's
    reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[bytes, None] = {}
        self._hashed: set[int] = set()
        self._said: set[int] = set()

    def __len__(self) -> int:
        return len(self._kept) + len(self._hashed)

    def has(self, path: bytes | None) -> bool:
        return path in self._kept or hash(path) in self._hashed

    def sample(self, most: int) -> list[bytes]:
        with self._lock:
            return list(itertools.islice(self._kept, most))

    def add(self, paths: Iterable[bytes], log: Any) -> None:
        """Each is said when it is new, but no more than a few at once."""
        new: list[bytes] = []
        with self._lock:
            for path in paths:
                if path in self._kept or hash(path) in self._hashed:
                    continue
                if len(self._kept) < _KEPT:
                    self._kept[path] = None
                else:
                    self._hashed.add(hash(path))
                if hash(path) not in self._said and len(self._said) < _KEPT:
                    self._said.add(hash(path))
                    new.append(path)
        if new:
            log.warning(
                "conflict: keys are there that are not ours",
                paths=[told.path(path) for path in new[:_SAID]],
                count=len(new),
            )

    def met(self, theirs: Sequence[plan.Write], done: Sequence[plan.Write], log: Any) -> None:
        """The keys of some writes were found to be somebody else's; others were done."""
        for write in theirs:
            if write.value is None:
                self.discard(write.path)
            else:
                self.add((write.path,), log)
        if self._kept or self._hashed:
            for write in done:
                self.discard(write.path)

    def discard(self, path: bytes) -> None:
        """It was mirrored, or is gone."""
        if self._kept or self._hashed:
            with self._lock:
                self._kept.pop(path, None)
                self._hashed.discard(hash(path))
                self._said.discard(hash(path))


class Found:
    """Those that one walk meets. What it does not meet is none any more, once it has ended; but
    what was added meanwhile stays."""

    def __init__(self, all_of: Conflicts, log: Any) -> None:
        self._all, self._log = all_of, log
        self._before = (set(all_of._kept), set(all_of._hashed))

    def saw(self, paths: Iterable[bytes]) -> None:
        paths = list(paths)
        kept, hashed = self._before
        kept.difference_update(paths)
        hashed.difference_update(map(hash, paths))
        self._all.add(paths, self._log)

    def ended(self) -> None:
        """What was known before and not met is none any more."""
        kept, hashed = self._before
        with self._all._lock:
            for path in kept:
                self._all._kept.pop(path, None)
            self._all._hashed -= hashed
