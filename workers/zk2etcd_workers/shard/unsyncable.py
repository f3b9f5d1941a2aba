"""The paths of one shard that cannot be mirrored: a right count in bounded memory, each said once.

A hundred thousand unreadable nodes are no reason to take their paths into memory, and a node that
keeps flipping between readable and not is none to fill the log: so only some are kept by name,
others by their hash, and what a walk saw beyond its sample by number.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from zk2etcd_workers.model import told

DENIED = "ZooKeeper denies the right to read it"
_KEPT = 10_000
_KEPT_BYTES = 8 * 1024 * 1024
_HASHED = 500_000
_SAY_AGAIN = 60.0


class _Said(NamedTuple):
    reason: str
    at: float
    stands: bool


class _Kept(NamedTuple):
    """`base` counts the bases so far: what the last one did not meet again is fine by now."""

    reason: str
    base: int


class _Hashed(NamedTuple):
    denied: bool
    base: int


class Unsyncable:
    """Safe to use from several threads: the shard's writes, its full sync's too, the worker's
    reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[bytes, _Kept] = {}
        self._kept_bytes = 0
        self._hashed: dict[int, _Hashed] = {}
        self._base = 0
        self._unlisted = 0
        self._said: dict[int, _Said] = {}  # by hash, since it outlasts what is kept

    def __len__(self) -> int:
        with self._lock:
            return len(self._kept) + len(self._hashed) + self._unlisted

    def sample(self, most: int) -> list[tuple[bytes, str]]:
        """(path, reason) of the first `most`."""
        with self._lock:
            items = itertools.islice(self._kept.items(), most)
            return [(path, kept.reason) for path, kept in items]

    def base_begins(self) -> None:
        """Everything will be tried again."""
        with self._lock:
            self._base += 1

    def base_ended(self) -> None:
        """Everything was tried again: what was not met since is mirrored, or gone."""
        with self._lock:
            for path in [path for path, kept in self._kept.items() if kept.base < self._base]:
                self._drop(path)
            met = (item for item in self._hashed.items() if item[1].base >= self._base)
            self._hashed = dict(met)

    def add(self, path: bytes, reason: str, log: Any) -> None:
        """Said once, and again only if it was mirrored meanwhile or its reason has changed; even
        so not more than once a minute."""
        with self._lock:
            known = self._kept.get(path)
            if known is None and self._is_full(path):
                if len(self._hashed) < _HASHED:
                    self._hashed[hash(path)] = _Hashed(reason == DENIED, self._base)
                return
            self._hashed.pop(hash(path), None)
            self._kept[path] = _Kept(reason, self._base)
            self._kept_bytes += len(path) if known is None else 0
            if known is not None and known.reason == reason:
                return
            unsaid = self._is_unsaid(path, reason, time.monotonic())
        if unsaid:
            log.warning("path cannot be mirrored", path=told.path(path), reason=reason)

    def denied(self) -> frozenset[bytes] | None:
        """What may not be read; None if not all of it is known by name."""
        with self._lock:
            if self._unlisted or self._hashed:
                return None
            return frozenset(path for path, kept in self._kept.items() if kept.reason == DENIED)

    def discard(self, path: bytes) -> None:
        """It was mirrored, or is gone."""
        with self._lock:
            if path in self._kept:
                self._drop(path)
            else:
                self._hashed.pop(hash(path), None)

    def walked(self, denied: Sequence[bytes], total: int, log: Any) -> None:
        """A walk has seen everything: `denied` are some of the `total` that it could not read, and
        what else was unreadable before is not any more."""
        listed = set(denied)
        with self._lock:
            denied_before = [path for path, kept in self._kept.items() if kept.reason == DENIED]
            for path in denied_before:
                if path not in listed:
                    self._drop(path)
            self._hashed = {key: each for key, each in self._hashed.items() if not each.denied}
            self._unlisted = total - len(denied)
        for path in denied:
            self.add(path, DENIED, log)

    def _is_full(self, path: bytes) -> bool:
        """One more is not kept by name: there are many, or these are long."""
        return len(self._kept) >= _KEPT or self._kept_bytes + len(path) > _KEPT_BYTES

    def _drop(self, path: bytes) -> None:
        del self._kept[path]
        self._kept_bytes -= len(path)
        if (said := self._said.get(hash(path))) is not None:
            self._said[hash(path)] = said._replace(stands=False)

    def _is_unsaid(self, path: bytes, reason: str, now: float) -> bool:
        said = self._said.pop(hash(path), None)
        if said is not None:
            same = said.stands and said.reason == reason
            if same or now - said.at < _SAY_AGAIN:
                self._said[hash(path)] = said._replace(reason=reason, stands=True)
                return False
        elif len(self._said) >= _KEPT:
            del self._said[next(iter(self._said))]
        self._said[hash(path)] = _Said(reason, now, stands=True)
        return True
