"""The paths of one shard whose keys are somebody else's: a right count in bounded memory, each said
once in a while.

What a walk found stands until the next one, less what was mirrored, or went, since; what was met
live comes on top.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from zk2etcd_workers.model import plan, told

_KEPT = 10_000
_SAID = 5


class Conflicts:
    """Safe to use from several threads: the shard's writes, its full sync's too, the worker's
    reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # When each was last met: so many walks had begun by then.
        self._kept: dict[bytes, int] = {}
        self._hashed: dict[int, int] = {}
        self._walks = 0
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
                is_known = path in self._kept or hash(path) in self._hashed
                if path in self._kept or (not is_known and len(self._kept) < _KEPT):
                    self._kept[path] = self._walks
                else:
                    self._hashed[hash(path)] = self._walks
                if is_known:
                    continue
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
                self._hashed.pop(hash(path), None)
                self._said.discard(hash(path))

    def clear(self) -> None:
        """Others are to say which they are."""
        with self._lock:
            self._kept.clear()
            self._hashed.clear()

    def begins(self) -> int:
        """A walk: its number."""
        with self._lock:
            self._walks += 1
            return self._walks

    def before(self, walk: int) -> list[bytes]:
        """Those that were last met before this walk, as far as they are known by name."""
        with self._lock:
            return [path for path, met in self._kept.items() if met < walk]

    def forget(self, walk: int, *, unnamed: bool = False) -> bool:
        """Those that were last met before it are none any more; whether there were any.

        :param unnamed: only those that are not known by name.
        """
        with self._lock:
            known = len(self)
            if not unnamed:
                self._kept = {path: met for path, met in self._kept.items() if met >= walk}
            self._hashed = {each: met for each, met in self._hashed.items() if met >= walk}
            return len(self) < known


class Found:
    """Those that one walk meets. What it does not meet is none any more, once it has ended; but
    what was added meanwhile stays."""

    def __init__(
        self,
        all_of: Conflicts,
        log: Any,
        doubts: Callable[[Sequence[bytes]], None] | None = None,
    ) -> None:
        """:param doubts: told of what the walk finds to be otherwise than it was known, which is
        left as it was then. For it sees etcd as that was at its beginning, while others write."""
        self._all, self._log, self._doubts = all_of, log, doubts
        self._walk = all_of.begins()
        self.is_unsure = False
        """Some that are not known by name may be ours by now."""

    def saw(self, paths: Sequence[bytes]) -> None:
        if self._doubts is not None:
            self._doubts([path for path in paths if not self._all.has(path)])
            paths = [path for path in paths if self._all.has(path)]
        self._all.add(paths, self._log)

    def ended(self) -> None:
        """What was known before and not met is none any more."""
        if self._doubts is not None:
            self._doubts(self._all.before(self._walk))
        self.is_unsure = self._all.forget(self._walk, unnamed=self._doubts is not None)
