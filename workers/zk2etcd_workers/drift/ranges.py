"""A range of etcd that is watched, and the places of the shards that write there.

The buckets of a prefix share its range, on one worker its watch, and what is known to be ours. Each
has a place for one attempt, from the token that it was taken with: what happened before that was
there when its base began to read.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from zk2etcd_workers.drift import ours
from zk2etcd_workers.model import mapping

MOST_WAITING = 20_000
"""Paths of one shard that strangers changed, and nobody has looked at; more mean a full sync."""
_KEPT = 10_000
"""Keys of strangers that are remembered for a shard that has been taken and has no place yet."""


class Asks(NamedTuple):
    """What a place asks of its shard: to `wake`; whether it `follows`; to `compare` all; whether it
    is `comparing`; whether the change of a key, or that it is gone, is to be looked at. From any
    thread."""

    wake: Callable[[], None]
    follows: Callable[[], bool]
    compare: Callable[[], None]
    comparing: Callable[[], bool]
    concerns: Callable[[bytes, bool], bool] = lambda *_: True


class Part(NamedTuple):
    """[key, end) of a range, or the one key. Rights are given so: to a key, and to those below it
    (docs/etcd.md); between the two are keys of others."""

    key: bytes
    end: bytes = b""


class Range:
    """`since`: it is watched, or to be, from the revision after that on; None if it is not. `why`
    it is not, for a person."""

    def __init__(self, parts: Sequence[Part], rollbacks: int) -> None:
        self.parts = parts
        self._silent = len(parts)
        self.seats: tuple[Seat, ...] = ()
        self.since: int | None = None
        self.why: str | None = "its watch has not begun yet"
        self.rollbacks = rollbacks
        self.left_at = 0.0
        self.refused_at: float | None = None
        self._lock = threading.Lock()
        self._ours = ours.Ours()
        self._overflows = 0
        self._recent = collections.deque[ours.Change]()
        self._recent_keys = self._forgotten = 0

    @classmethod
    def of(cls, shard: mapping.Mapping, rollbacks: int) -> Range:
        """A shard's target, with all below it."""
        below = Part(*shard.below())
        own = [Part(shard.target)] if shard.target != below.key else []
        return cls([*own, below], rollbacks)

    @property
    def is_told(self) -> bool:
        return self.since is not None and self.why is None

    def created(self) -> None:
        """One more of its parts is watched."""
        self._silent -= 1
        if not self._silent:
            self.says(None)

    def says(self, why: str | None) -> None:
        """Why it is not watched; None: it is."""
        if why != self.why:
            self.why = why
            for seat in self.seats:
                seat.asks.wake()

    def begins(self, since: int) -> None:
        """Another watch is to tell of it: nothing that the last one told counts any more."""
        with self._lock:
            self.since = since
            self._ours.forget(since)
            self._recent.clear()
            self._recent_keys, self._forgotten = 0, since
            self._silent = len(self.parts)

    def covers(self, token: int) -> bool:
        """Whether all that strangers did since then is known, or will be told."""
        return self.since is not None and self.since <= token and self._forgotten <= token

    def earlier(self, since: int) -> None:
        """It is to be told again, from there on."""
        with self._lock:
            self.since = self._forgotten = since
            self._silent = len(self.parts)

    def joined(self, seat: Seat) -> None:
        """What strangers did since its token, and before this moment, is told it as well."""
        with self._lock:
            self.seats = (*self.seats, seat)
            recent = list(self._recent)
        for change in recent:
            seat.strange(change)

    def left(self, seat: Seat, now: float) -> None:
        with self._lock:
            self.seats = tuple(each for each in self.seats if each is not seat)
        self.left_at = now

    def heard(self, change: ours.Told) -> None:
        with self._lock:
            found = self._ours.heard(change)
            lost = self._ours.overflows != self._overflows
            self._overflows = self._ours.overflows
            self._remember(found)
        self._tell(found)
        if lost:
            for seat in self.seats:
                seat.loses("more was written at once than can be told apart")

    def sent(self) -> int:
        with self._lock:
            return self._ours.sent()

    def ended(self, number: int, revision: int, *, told: bool) -> None:
        with self._lock:
            found = self._ours.ended(number, revision, told=told, now=time.monotonic())
            self._remember(found)
        self._tell(found)

    def owed_since(self) -> float | None:
        """See `ours.Ours.owed_since`."""
        with self._lock:
            return self._ours.owed_since() if self.is_told else None

    def _remember(self, found: Sequence[ours.Change]) -> None:
        for change in found:
            self._recent.append(change)
            self._recent_keys += len(change.keys)
        while self._recent_keys > _KEPT:
            oldest = self._recent.popleft()
            self._recent_keys -= len(oldest.keys)
            self._forgotten = max(self._forgotten, oldest.revision)

    def _tell(self, found: Sequence[ours.Change]) -> None:
        for change in found:
            for seat in self.seats:
                seat.strange(change)


class Seat:
    """One shard's place, for one attempt. `owes`: not all that strangers did is known, so all is to
    be compared, or just is; `why`, for a person."""

    def __init__(self, shard: mapping.Mapping, token: int, asks: Asks, rollbacks: int) -> None:
        self.mapping = shard
        self.token = token
        self.asks = asks
        self.range = Range((), rollbacks)
        self.owes = self._is_compared = False
        self.was_told = False
        """It has been watched since its token, at some time."""
        self.rests_until = 0.0
        self._why = ""
        self._rollbacks: Callable[[], int] = lambda: rollbacks
        self._lock = threading.Lock()
        self._paths: dict[bytes, None] = {}
        self._sent: dict[int, int] = {}

    def sits(self, place: Range, rollbacks: Callable[[], int]) -> None:
        """:param rollbacks: how often etcd was found to be put back."""
        self.range, self._rollbacks = place, rollbacks

    @property
    def why(self) -> str | None:
        """Why what strangers do may not be known; None if it is."""
        knows_all = not (self.owes or self._is_compared)
        return self.range.why or (None if knows_all else self._why or "all is compared first")

    def loses(self, why: str) -> None:
        """Something that strangers did may have gone untold."""
        with self._lock:
            self.owes, self._why = True, why
            self._paths.clear()
        self.asks.wake()

    def compares(self) -> None:
        """All is about to be compared: what is told from now on counts."""
        self.owes, self._is_compared = False, True
        self.asks.compare()

    def compared(self) -> None:
        """All is, unless something went untold meanwhile."""
        self._is_compared = False
        self.asks.wake()

    def strange(self, change: ours.Change) -> None:
        """A stranger changed these keys. From any thread."""
        if change.revision <= self.token:
            return
        shard, paths, concerns = self.mapping, list[bytes](), self.asks.concerns
        for key in change.keys:
            if not concerns(key, key in change.gone) or not shard.is_image(key):
                continue
            if (path := shard.path(key)) is not None:
                paths.append(path)
        if not paths:
            return
        with self._lock:
            was_empty = not self._paths
            self._paths.update(dict.fromkeys(paths))
            too_many = len(self._paths) > MOST_WAITING
        if too_many:
            self.loses(f"strangers changed more than {MOST_WAITING} keys at once")
        elif was_empty:
            self.asks.wake()

    def take(self) -> Sequence[bytes]:
        """The paths whose keys strangers changed, since the last time."""
        if not self._paths:
            return ()
        with self._lock:
            paths, self._paths = self._paths, {}
        return list(paths)

    # --- what its shard writes ---------------------------------------------------------------

    def sent(self) -> int:
        """A Txn of the shard's is about to be sent: its number."""
        number = self.range.sent()
        self._sent[number] = self._rollbacks()
        return number

    def ended(self, number: int, revision: int = 0, *, told: bool = False) -> None:
        """See `ours.Ours.ended`. In an etcd that was put back, revisions come a second time."""
        known = self._sent.pop(number, None)
        self.range.ended(number, revision if known == self._rollbacks() else 0, told=told)

    def leaves(self) -> None:
        """What is still under way says nothing any more: the next token makes it void."""
        for number in list(self._sent):
            self.ended(number)
