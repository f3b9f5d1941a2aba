"""What a worker hears of strangers: one stream for the ranges of all its shards, in one thread.

Where no shard has a place there is neither. A stream that ended is followed by another, which
begins now: what was done in between is found by comparing all, one shard after another.
"""

from __future__ import annotations

import threading
import time

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.drift import hearing, ranges
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.model import mapping

_SILENCE = 10.0
"""Seconds without a sign of life that end a stream."""
_DEAF = 30.0
"""Seconds after which what we wrote ourselves must have been told."""
_TURN, _QUICK_TURN = 0.25, 0.02
"""Seconds; the other while a shard is compared: where a thousand of them had one stream, which
ended, each waits for those before it."""
_REST = (0.25, 8.0)
"""Seconds until another stream is begun: the first time, and at most. What one costs is bounded by
how often a shard is compared."""
_STABLE = 10.0
"""Seconds for which one has lived that was no failure."""
_AGAIN = 60.0
"""Seconds until a range that was refused is asked for again."""
_KEPT = 10.0
"""Seconds for which a range without a shard stays watched: it starts over, perhaps."""
_PEACE = 1.0
"""Seconds, at least, between two comparisons of one shard; and as long as the last one took."""


class Watcher:
    """Of one worker's connections. `join` and `leave` come from the shards' threads."""

    def __init__(self, client: etcd.Client, key: bytes) -> None:
        """:param key: one that may be read whatever the shards are: it tells etcd's revision."""
        self._client = client
        self._key = key
        self._log = logger.get()
        self._lock = threading.Lock()
        self._ranges: dict[bytes, ranges.Range] = {}
        self._stream: hearing.Hearing | None = None
        self._began_at = self._next_at = 0.0
        self._failures = 0
        self._wake, self._over = threading.Event(), False
        self._thread: threading.Thread | None = None
        self._comparing: tuple[ranges.Seat, float] | None = None

    def join(
        self, shard: mapping.Mapping, token: int, asks: ranges.Asks, of: bytes = b""
    ) -> ranges.Seat:
        """A place for a shard that was taken with this token, just now.

        :param of: whose writes count as ours there; by default those of all with its target.
        """
        seat = ranges.Seat(shard, token, asks, self._client.rollbacks)
        with self._lock:
            rollbacks = self._client.rollbacks
            made = ranges.Range.of(shard, rollbacks)
            place = self._ranges.setdefault(of or shard.target, made)
            seat.sits(place, lambda: self._client.rollbacks)
            self._prepare(place, seat, rollbacks)
            place.joined(seat)
            if self._thread is None and not self._over:
                self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
                self._thread.start()
        self._wake.set()
        return seat

    def leave(self, seat: ranges.Seat) -> None:
        """Its shard starts over, or stops."""
        seat.leaves()
        seat.range.left(seat, time.monotonic())

    def close(self) -> None:
        self._over = True
        self._wake.set()

    def _prepare(self, place: ranges.Range, seat: ranges.Seat, rollbacks: int) -> None:
        """Have the range watched from before the shard's base begins to read."""
        stream = self._stream
        if stream is None or stream.end is not None or place.refused_at is not None:
            return
        seat.was_told = True
        if place.since is None or place.rollbacks != rollbacks:
            place.rollbacks = rollbacks
            place.begins(seat.token)
        elif place.covers(seat.token):
            return
        else:
            place.earlier(seat.token)
        stream.leave(place)
        stream.listen(place)

    # --- its thread --------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over:
            now = time.monotonic()
            try:
                self._turn(now)
            except errors.EtcdError as error:
                self._lose(error, now)
            except Exception:
                self._log.exception("bug in the watch of strangers: going on")
                self._next_at = now + _AGAIN
            self._wake.wait(_TURN if self._comparing is None else _QUICK_TURN)
            self._wake.clear()
        if self._stream is not None:
            self._stream.close()

    def _turn(self, now: float) -> None:
        self._drop(now)
        if self._stream is not None:
            self._look_after(self._stream, now)
        if self._stream is None and self._ranges and now >= self._next_at:
            self._begin(now)
        self._compare(now)

    def _look_after(self, stream: hearing.Hearing, now: float) -> None:
        stream.tend(now)
        if (why := stream.end) is None:
            owed = [each.owed_since() for each in self._all()]
            if any(at is not None and now - at > _DEAF for at in owed):
                why = errors.EtcdError("a watch did not tell what we wrote ourselves")
        if why is not None:
            self._lose(why, now)
            return
        for each in self._all():
            if each.refused_at is not None and now - each.refused_at > _AGAIN:
                self._again(each, stream)

    def _lose(self, why: errors.EtcdError, now: float) -> None:
        """The stream is over, or could not be begun; the next one comes later each time."""
        with self._lock:
            stream, self._stream = self._stream, None
            if stream is not None and now - self._began_at > _STABLE:
                self._failures = 0
            self._failures += 1
            shortest, longest = _REST
            self._next_at = now + min(shortest * 2.0 ** min(self._failures - 1, 8), longest)
            for each in self._ranges.values():
                each.since = None
        if stream is not None:
            stream.close()
            self._log.warning("strangers are not heard of", error=str(why))
        for each in self._all():
            each.says(f"etcd tells of no changes: {why}")

    def _begin(self, now: float) -> None:
        """A stream, and in it all ranges: from now on, or from when a shard was taken that has not
        been told of yet. That read shows, too, when etcd was put back.

        :raises errors.EtcdError: there is none.
        """
        revision = self._client.range(self._key, keys_only=True).revision
        self._began_at = now
        stream = hearing.Hearing(self._client.place(), _SILENCE, self._refused, self._wake.set)
        with self._lock:
            self._stream = stream
            for each in self._ranges.values():
                each.refused_at = None
                self._listen(each, stream, revision)

    def _listen(self, place: ranges.Range, stream: hearing.Hearing, revision: int) -> None:
        place.rollbacks = self._client.rollbacks
        fresh = [each.token for each in place.seats if not each.was_told]
        place.begins(min([revision, *fresh]))
        for seat in place.seats:
            if seat.was_told:
                seat.loses("")
            seat.was_told = True
        stream.listen(place)

    def _again(self, place: ranges.Range, stream: hearing.Hearing) -> None:
        revision = self._client.range(self._key, keys_only=True).revision
        with self._lock:
            place.refused_at = None
            for seat in place.seats:
                seat.was_told = True
            self._listen(place, stream, revision)

    def _refused(self, place: ranges.Range, why: errors.EtcdError) -> None:
        """In the stream's thread. What was compacted is asked for again at once, from now on."""
        now = time.monotonic()
        place.refused_at = now - _AGAIN if isinstance(why, errors.Compacted) else now
        place.since = None
        place.says(str(why))
        self._log.warning("a range is not watched for strangers", error=str(why))
        self._wake.set()

    def _drop(self, now: float) -> None:
        """Ranges that nobody has any more; and the stream, with the last one."""
        with self._lock:
            for name, each in list(self._ranges.items()):
                if not each.seats and now - each.left_at > _KEPT:
                    del self._ranges[name]
                    if self._stream is not None:
                        self._stream.leave(each)
            if not self._ranges and self._stream is not None:
                self._stream.close()
                self._stream = None

    def _compare(self, now: float) -> None:
        """Have one shard compared of which something may have gone untold."""
        if self._comparing is not None:
            seat, since = self._comparing
            if seat in seat.range.seats and seat.asks.comparing():
                return
            self._comparing = None
            seat.compared()
            seat.rests_until = now + max(_PEACE, now - since)
        for each in self._all():
            for seat in each.seats if each.is_told else ():
                if seat.owes and now >= seat.rests_until and seat.asks.follows():
                    self._comparing = (seat, now)
                    self._log.info("what strangers did may be unknown: a full sync looks")
                    seat.compares()
                    return

    def _all(self) -> list[ranges.Range]:
        with self._lock:
            return list(self._ranges.values())
