"""How much may be read at once without endangering the source. Pure.

The server builds a bulk read's whole answer in memory, and the sizes are unknown before the first
read: so the number of data reads in flight is bounded over all requests of a session (a listing's
size is known from its parent's Stat, so it does not count, unless it is huge: then it goes alone),
and a parent whose children turned out to be large gets them few at a time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

UNKNOWN_IN_FLIGHT = 112
WALK_IN_FLIGHT = 96
"""What walks may use of it; the rest is kept for live changes, which must not wait for a walk."""

REQUEST_BYTES = 512 * 1024
"""A request must stay under the server's jute.maxbuffer (1 MiB by default), whatever its paths."""

LARGE_REQUEST = 32 * 1024
_LEAST_REQUEST = 1024
_SHRINK = 4

OP_BYTES = 14
"""What a read adds to a request beside its path (MultiHeader, length, watch flag)."""

KNOWN_SMALL = 16 * 1024
"""Where no value was larger than this when all were last read, reads are of known size, and their
number in flight is bounded by what they come to (`parallel`)."""

SMALL_SO_FAR = 2_000
"""After so many values in a row that were no larger than that, the next ones probably are not
either, and count as less."""

_PART = (4, 7)
"""That much: 168 reads at once instead of 96. With 1 MB each, all the same, a worker stays below
300 MiB, in requests of 56. With requests of 84 the ZooKeeper beside it, 3.8 with a heap of 2 GB,
went away in three runs of three; what ended it was not found out."""

_KNOWN_BYTES = 16 * 1024 * 1024
STAT_BYTES = 80
NAME_BYTES = 32
"""Of one child in a listing, about."""

_LEAST_PARALLEL = 4
_MOST_PARALLEL = 12

LARGE_ANSWERS = 4 * 1024 * 1024
LARGE_BATCH = 4
_UNKNOWN = 512 * 1024
"""Bytes that a value may have, before any was seen."""

LARGE_LISTING = 10_000
DANGEROUS_LISTING = 100_000
"""From so many children on, a server may not have the memory for the answer: some 20 MB and more,
and three times that while it is made."""
_REST = 15.0
_MOST_REST = 600.0


_HELD_NODES = 8192
_HELD_BYTES = 16 * 1024 * 1024


def parallel(batch: int, largest: int, walks: int = 1) -> int:
    """How many requests of `batch` reads, of at most `largest` bytes each, each of so many walks
    has side by side: the server is then busy while we use what it sent, and never builds more than
    16 MiB for us."""
    fitting = _KNOWN_BYTES // (batch * (largest + STAT_BYTES))
    return -(-max(_LEAST_PARALLEL, min(fitting, _MOST_PARALLEL)) // walks)


def held(walks: int) -> tuple[int, int]:
    """How many nodes, and bytes, each of so many walks may have read and not used yet."""
    return _HELD_NODES // walks, _HELD_BYTES // walks


def cost(reads: int, *, small: bool) -> int:
    """What so many reads use of a `Budget`; `small`: all values were, for a while."""
    return -(-reads * _PART[0] // _PART[1]) if small else reads


@dataclasses.dataclass
class Budget:
    """Reads of unknown size in flight, over all requests of one session."""

    total: int = UNKNOWN_IN_FLIGHT
    walk: int = WALK_IN_FLIGHT
    used: int = 0

    def take(self, wanted: int, *, live: bool, small: bool = False) -> int:
        """How many of `wanted` reads may be sent now; their `cost` is used until `give`n back."""
        left = max(0, (self.total if live else self.walk) - self.used)
        granted = min(wanted, left * _PART[1] // _PART[0] if small else left)
        self.used += cost(granted, small=small)
        return granted

    def give(self, count: int) -> None:
        self.used -= count


class RequestSize:
    """How many bytes one request may have: `most`. A server ends the connection for one above its
    jute.maxbuffer, before it has read it, and says nothing. So a connection that ends under a
    request larger than any that passed on it leaves a quarter of that as the most there may be: at
    once if it was a large one, else if that happens twice in a row, since most connections end for
    other reasons.
    """

    def __init__(self) -> None:
        self.most = REQUEST_BYTES
        self._passed = 0
        self._lost = 0
        self._suspected = False

    def passed(self, size: int) -> None:
        """A request of this size was answered."""
        self._passed = max(self._passed, size)

    def lost(self, size: int, *, overdue: bool = False) -> None:
        """The connection ended with a request of this size under way.

        :param overdue: we ended it, after a while without an answer. A server that refuses a size
        does not keep us waiting; only a large one may be lost in between.
        """
        if not overdue or size > LARGE_REQUEST:
            self._lost = max(self._lost, size)

    def reconnected(self) -> None:
        """Learn from how the last connection ended."""
        lost, suspicious = self._lost, self._lost > self._passed
        if suspicious and (self._suspected or lost > LARGE_REQUEST):
            self.most = min(self.most, max(_LEAST_REQUEST, lost // _SHRINK))
        self._suspected = suspicious
        self._passed = self._lost = 0


class Caution:
    """Which listings are not asked for, for a while: those of very many children under which a
    connection ended. A server that lacks the memory for a long answer does not refuse it, it ends
    (an OutOfMemoryError in its SyncRequestProcessor ends a 3.8); and so may the next one. `now` is
    monotonic, in seconds.
    """

    def __init__(self) -> None:
        self._broke: dict[bytes, tuple[int, int, float]] = {}

    def broke(self, path: bytes, children: int, now: float) -> None:
        """A connection ended, or was given up, while this one was under way."""
        times = self._broke.get(path, (0, 0, 0.0))[0]
        until = now + min(_REST * 4**times, _MOST_REST)
        self._broke[path] = (times + 1, children, until)

    def given(self, path: bytes) -> None:
        """It was answered."""
        self._broke.pop(path, None)

    def rest(self, path: bytes, now: float) -> float:
        """Seconds until it may be asked for."""
        return max(0.0, self._broke.get(path, (0, 0, now))[2] - now)

    def suspect(self) -> tuple[bytes, int] | None:
        """One that no connection has answered since, and how many children that is."""
        return next(((path, many) for path, (_, many, _) in self._broke.items()), None)


def large_answers() -> int:
    """Bytes from which on an answer is a large one, where the line to it is no bound."""
    return LARGE_ANSWERS


class Ramp:
    """How many reads one request may carry. The first answer tells how large values are, and it
    must not be a hundred of them: few at first, twice as many after each small answer, few again
    after a large one."""

    def __init__(self, most: int, large: Callable[[], int] = large_answers) -> None:
        """:param large: bytes from which on an answer is a large one, as of now."""
        self._most = most
        self._large = large
        self._now = self._first()

    @property
    def batch(self) -> int:
        return self._now

    @property
    def is_full(self) -> bool:
        """Values are as small as they may be for as many as there may be."""
        return self._now == self._most

    def saw(self, size: int) -> None:
        """An answer's values came to `size` bytes."""
        large = self._large()
        if size > large:
            self._now = self._first()
        elif size * 2 <= large:
            self._now = min(self._now * 2, self._most)

    def rest(self) -> None:
        """Nothing is to be read: what comes next may be of any size."""
        self._now = self._first()

    def _first(self) -> int:
        return min(self._most, max(1, self._large() // _UNKNOWN))


class Rate:
    """At most `per_second` operations a second (None: no bound), a token bucket of one second."""

    def __init__(self, per_second: int | None) -> None:
        self._per_second = per_second
        self._tokens = float(per_second or 0)
        self._at = 0.0

    def take(self, wanted: int, now: float) -> int:
        """How many of `wanted` may go at `now` (monotonic seconds)."""
        if self._per_second is None:
            return wanted
        self._refill(self._per_second, now)
        granted = min(wanted, max(0, int(self._tokens)))
        self._tokens -= granted
        return granted

    def give(self, unused: int) -> None:
        """So many of those taken do not go after all."""
        self._tokens = min(self._tokens + unused, float(self._per_second or 0))

    def most(self, wanted: int) -> int:
        """How many may be asked for at once by who is told afterwards how many it were."""
        return wanted if self._per_second is None else min(wanted, self._per_second)

    def spend(self, count: int, now: float) -> float:
        """So many went already: the seconds from `now` on until they are paid for."""
        if self._per_second is None:
            return 0.0
        self._refill(self._per_second, now)
        self._tokens -= count
        return max(0.0, -self._tokens / self._per_second)

    def _refill(self, per_second: int, now: float) -> None:
        if self._at:
            self._tokens = min(self._tokens + (now - self._at) * per_second, float(per_second))
        self._at = now


def fitting(paths: Sequence[bytes], most: int = REQUEST_BYTES) -> int:
    """How many of these paths, from the first on, one request of at most so many bytes may read;
    at least one."""
    size = 0
    for count, path in enumerate(paths):
        size += len(path) + OP_BYTES
        if size > most and count:
            return count
    return len(paths)
