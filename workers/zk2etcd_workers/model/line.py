"""What the answers' times tell of the lines they came over. Pure.

Whoever asks for more than a line carries within a request's time-out loses the answer, starts over,
and asks for the same again; and a line that is full for long lets no heartbeat through. So what is
under way follows the answers' times: less after one that took long, or never came; more, up to
what is usual, while they come quickly.

And a full sync is in no hurry, while others use the same etcd. Where an answer took much longer
than it usually takes for so many bytes, etcd has other work to do, or our own reads are what it
has, or only the machine is busy, which looks the same: then it leaves etcd as much time as the
answer took. But it rests for no more of its time than it works, whatever the answers seem to say.
"""

from __future__ import annotations

from typing import NamedTuple

from zk2etcd_workers.model import pacing

_LEAST = 16 * 1024
_FIRST = 64 * 1024

_QUICK, _SLOW = 6, 3
"""Parts of the time-out. If all that may be under way would come within the one, it is too little;
an answer that took longer than the other was one of too much."""

_TELLS = 16
"""A part of the room: what is smaller passes a thin line as quickly as any other."""

_DOUBLES, _GROWS, _SHRINKS = 2.0, 1.1, 0.25
"""With each quick answer, until the first slow one, and from then on; at most for a slow one."""

_LEAST_AT_ONCE = 8
_ENDS = 4
"""Times the time-out: what is under way for longer is so no more, if nobody noticed its end."""

_NARROW = 4
"""Part of what is usual: a room smaller than that is worth telling."""


class _Sent(NamedTuple):
    """`beside`: bytes under way when it was sent, its own `size` too."""

    size: int
    beside: int
    at: float


class Line:
    """One direction of one side, for all shards of a worker. `room` is how many bytes may be under
    way; `each` what the answer to one read of unknown size may have, about: many, until answers
    have told. Several threads may use it: each step is one of the interpreter's, or harmless twice.
    """

    def __init__(self, usual: int, patience: float) -> None:
        """:param usual: bytes, on a line that is no bound.
        :param patience: seconds that an answer may take.
        """
        self._usual = usual
        self._patience = patience
        self._best = patience
        self._shrunk: float | None = None
        self._held = False
        self._sent: dict[object, _Sent] = {}
        self.room = min(_FIRST, usual)
        self.each = pacing.KNOWN_SMALL + pacing.STAT_BYTES

    def expects(self, largest: int | None) -> int:
        """Bytes of the answer to one read, where the largest value is known, or not."""
        return min(pacing.KNOWN_SMALL, largest) + pacing.STAT_BYTES if largest else self.each

    def typical(self, each: int) -> None:
        """Reads were answered with so many bytes each: what others ask for probably is, too."""
        self.each = max(each, self.each * 2 // 3)

    @property
    def narrow(self) -> int | None:
        """The room, where answers have made, or kept, it much smaller than usual."""
        is_told = self._held or self._shrunk is not None
        return self.room if is_told and self.room < self._usual // _NARROW else None

    def large(self) -> int:
        """Bytes of values from which on one answer is a large one."""
        narrow = self.narrow if self._shrunk is not None else None
        return min(narrow or pacing.LARGE_ANSWERS, pacing.LARGE_ANSWERS)

    def used(self, now: float) -> int:
        """Bytes under way."""
        since = now - _ENDS * self._patience
        return sum([sent.size for sent in list(self._sent.values()) if sent.at > since])

    def fits(self, size: int, now: float) -> bool:
        """So many bytes may go now: whatever it is, if nothing is under way."""
        used = self.used(now)
        return not used or used + size <= self.room

    def carries(self, wanted: int, each: int, now: float) -> int:
        """How many of so many answers, of `each` bytes, it has room for now; one at least if it is
        free, and none rather than a few."""
        used = self.used(now)
        fitting = min(wanted, (self.room - used) // each)
        if not used:
            return max(1, fitting)
        return fitting if fitting >= min(wanted, _LEAST_AT_ONCE) else 0

    def take(self, key: object, size: int, now: float) -> None:
        """So many bytes are sent, or asked for, under this name."""
        self._sent[key] = _Sent(size, self.used(now) + size, now)

    def ended(self, key: object, size: int | None, now: float) -> None:
        """They came, and were in fact so many; None: they will not come."""
        sent = self._sent.pop(key, None)
        if sent is None or size is None:
            return
        took, beside = now - sent.at, sent.beside - sent.size + size
        self._best = min(self._best, took)
        # A long line has its latency, however little is under way: the rest is what fills it.
        filled = took - self._best
        if filled > self._patience / _SLOW:
            self._shrink(self._patience / _QUICK / filled, took, now)
        elif size * _TELLS >= self.room:
            if filled * self.room < self._patience / _QUICK * beside:
                grows = _DOUBLES if self._shrunk is None else _GROWS
                self.room = min(self._usual, int(self.room * grows))
            else:
                self._held = True  # there is as much room as there should be

    def lost(self, took: float, now: float) -> None:
        """A request was not answered; it says something if that took as long as a time-out."""
        self.each = pacing.KNOWN_SMALL + pacing.STAT_BYTES
        if took >= self._patience * 0.9:
            self._shrink(_SHRINKS, took, now)

    def _shrink(self, factor: float, took: float, now: float) -> None:
        """Once for all that was under way together."""
        if self._shrunk is None or now - took >= self._shrunk:
            self._shrunk = now
            self.room = max(min(_LEAST, self._usual), int(self.room * max(factor, _SHRINKS)))


_SLOWER = 4.0
"""Times what is usual."""

_FORGETS = 1.02
"""The best answer counts for less with each one after it: a line may become slower for good."""

_OVERHEAD = 64 * 1024
"""An answer of nothing takes as long as so many bytes."""

_SHORT = 0.02
_LONGEST = 1.0
"""Seconds: a page that took no longer than the first disturbs nobody; no rest is longer than this
one."""


class Yielding:
    """What one walk knows of how fast etcd answers, and how long it has rested for that."""

    def __init__(self, now: float) -> None:
        """:param now: monotonic seconds."""
        self._began = now
        self._rested = 0.0
        self._usual = 0.0

    def saw(self, size: int, took: float, now: float) -> float:
        """Seconds to rest after an answer of `size` bytes that took so long."""
        each = took / (size + _OVERHEAD)
        usual = self._usual or each
        self._usual = min(usual * _FORGETS, each)
        if took <= _SHORT or each <= _SLOWER * usual:
            return 0.0
        worked = now - self._began - self._rested
        rest = max(0.0, min(took, _LONGEST, worked - self._rested))
        self._rested += rest
        return rest
