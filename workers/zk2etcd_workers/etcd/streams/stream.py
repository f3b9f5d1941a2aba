"""A stream of etcd's that tells what changes in ranges of keys: how it shows that it lives, and how
each range is asked for.

A watch may be dead and nobody says so: a router forgets its connection, a member is frozen, or
parted from the others and hears of nothing. So a member is asked for that has a leader, and ends
the stream once it has lost it; and whenever nothing was heard for a while, something is asked over
the same stream. Where nothing comes back either, it is cut.

What is asked for is another watch, of a single key, given up as soon as it is there. A progress
request is made for this, and cannot be used: etcd grpc-proxy ends itself at one (until 3.4.19:
`panic("not implemented")`, proxy/grpcproxy/watch.go) or answers none, and etcd itself answers none
while the revision that a watch begins with is still to come (since 3.4.38, 3.5.22 and 3.6.2:
progressIfSync in mvcc/watchable_store.go).

One watch is asked for at a time. Its number is the server's choice before 3.4 and through
grpc-proxy, where answers also come in another order than the questions.

That it is alive does not mean that it tells all. Whoever needs to know reads the range as well.
"""

from __future__ import annotations

import collections
import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import errors
from zk2etcd_workers.etcd import cluster as clusters, endpoints as members, failures

_FRAGMENT = b"\x40\x01"
"""`fragment: true`, field 8 of a WatchCreateRequest, which the etcd3 module's messages lack: since
3.4 no answer is larger than a request may be then, however much there is to be told at once."""
_LIFE = "sign of life"


class Place(NamedTuple):
    """Where a stream is opened, and with which token; `rejected`: it turned out to be too old."""

    endpoints: members.Endpoints
    cluster: clusters.Cluster
    token: str | None
    rejected: Callable[[], None]


class _Wish(NamedTuple):
    """A watch to be asked for: [key, end) from the revision after `since` on."""

    tag: Hashable
    key: bytes
    end: bytes
    since: int

    def request(self, *, parts: bool) -> Any:
        start = 0 if self.tag == _LIFE else self.since + 1
        create = rpc.WatchCreateRequest(key=self.key, range_end=self.end, start_revision=start)
        if parts:
            create.MergeFromString(_FRAGMENT)
        return rpc.WatchRequest(create_request=create)


class Stream:
    """From its making until `end` says why it is over. What it hears is told by the methods that
    begin with `on_`, in a thread of its own."""

    parts = False
    """Whether one revision may be told of in parts, none of them larger than a request may be."""

    def __init__(self, place: Place, silence: float) -> None:
        """:param silence: how many seconds without a sign of life end it.
        :raises errors.EtcdError: no member of our cluster answers.
        """
        place.cluster.vouch()
        self._place = place
        self._silence = silence
        self._lock = threading.Lock()
        self._wanted = collections.deque[_Wish]()
        self._asked: _Wish | None = None
        self._last: _Wish | None = None
        self._tags: dict[int, Hashable] = {}
        self._waited: float | None = None
        """Seconds since a sign of life was asked for, as far as this process ran."""
        self.end: errors.EtcdError | None = None
        """Why it is over; None as long as it is not, as far as anybody knows."""
        self._closed = False
        self._requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._member = place.endpoints.current
        self._at = self._heard = self._tended = time.monotonic()
        # It ends the stream when it has lost its leader, and begins none without.
        metadata = [("hasleader", "true"), *([("token", place.token)] if place.token else [])]
        try:
            method = self._member.method("Watch/Watch")
            self._call = method(self._to_send(), metadata=metadata)
        except ValueError as error:
            # Closed meanwhile: its certificates were replaced, or we are ending.
            raise errors.EtcdUnavailable(f"etcd {self._member.endpoint}: {error}") from error
        threading.Thread(target=self._read, name="watch", daemon=True).start()

    # --- what is told ------------------------------------------------------------------------

    def on_created(self, tag: Hashable) -> None:
        """From now on it is watched."""

    def on_events(self, tag: Hashable, events: Sequence[Any]) -> errors.EtcdError | None:
        """What happened, in order of revision; why the stream is over, if it is."""

    def on_refused(self, tag: Hashable, why: errors.EtcdError) -> errors.EtcdError | None:
        """One is not watched, or not any more; why the stream is over, if it is."""
        del tag
        return why

    def on_end(self) -> None:
        """It has ended by itself."""

    # --- what is asked -----------------------------------------------------------------------

    def watch(self, tag: Hashable, key: bytes, end: bytes, since: int) -> None:
        """Watch [key, end) from the revision after `since` on."""
        with self._lock:
            self._wanted.append(_Wish(tag, key, end, since))
            self._ask()

    def unwatch(self, tag: Hashable) -> None:
        """Tell no more of it."""
        with self._lock:
            self._wanted = collections.deque(each for each in self._wanted if each.tag != tag)
            if self._asked is not None and self._asked.tag == tag:
                # Given up as soon as it is there, like a sign of life.
                self._asked = self._asked._replace(tag=_LIFE)
            for number in [each for each, of in self._tags.items() if of == tag]:
                del self._tags[number]
                self._cancel(number)

    def tend(self, now: float) -> None:
        """Ask for a sign of life if none came for a while, and cut it if none comes at all. To be
        called several times within `silence`."""
        if self.end is not None or self._closed:
            return
        # When nobody looked for long, this process stood still, and has not heard what was said.
        ran = max(0.0, min(now - self._tended, self._silence / 8))
        self._tended = now
        with self._lock:
            quiet = now - self._heard
            if self._waited is not None:
                self._waited += ran
            elif quiet > self._silence / 2 and (self._asked or self._last):
                self._waited = 0.0
                if self._asked is None and self._last is not None:
                    self._wanted.append(_Wish(_LIFE, self._last.key, b"", 0))
                    self._ask()
            is_dead = (self._waited or 0.0) > self._silence / 2
        if is_dead:
            self._place.endpoints.failed(self._member, self._at)
            where = f"etcd {self._member.endpoint}"
            self._over(errors.EtcdUnavailable(f"{where}: its watch gave no sign for {quiet:.1f} s"))

    def close(self) -> None:
        """End it; nothing is told any more."""
        self._closed = True
        self._stop()

    def _ask(self) -> None:
        if self._asked is None and self._wanted:
            self._asked = self._wanted.popleft()
            self._requests.put(self._asked.request(parts=self.parts))

    def _cancel(self, number: int) -> None:
        cancel = rpc.WatchCancelRequest(watch_id=number)
        self._requests.put(rpc.WatchRequest(cancel_request=cancel))

    def _to_send(self) -> Iterator[Any]:
        while (request := self._requests.get()) is not None:
            yield request

    # --- what is heard -----------------------------------------------------------------------

    def _read(self) -> None:
        try:
            for reply in self._call:
                with self._lock:
                    self._heard, self._waited = time.monotonic(), None
                if self.end is not None or self._closed:
                    return
                if (why := self._hear(reply)) is not None:
                    self._over(why)
                    return
            why = errors.EtcdUnavailable(f"etcd {self._member.endpoint} ended a watch")
        except grpc.RpcError as error:
            why = self._meaning(error)
        self._over(why)

    def _hear(self, reply: Any) -> errors.EtcdError | None:
        """What it says; why it is over, if it is."""
        if (stranger := self._place.cluster.other(self._member, reply, self._at)) is not None:
            return stranger
        if reply.created:
            return self._created(reply)
        with self._lock:
            tag = self._tags.get(reply.watch_id)
            if reply.canceled:
                self._tags.pop(reply.watch_id, None)
        if tag is None:
            return None
        if reply.canceled:
            return self.on_refused(tag, self._refusal(reply))
        return self.on_events(tag, reply.events) if reply.events else None

    def _created(self, reply: Any) -> errors.EtcdError | None:
        with self._lock:
            wish, self._asked = self._asked, None
            if wish is None or wish.tag == _LIFE:
                # Refused, it is a sign as well.
                if not reply.canceled:
                    self._cancel(reply.watch_id)
            elif not reply.canceled:
                self._tags[reply.watch_id], self._last = wish.tag, wish
            self._ask()
        if wish is None or wish.tag == _LIFE:
            return None
        if reply.canceled:
            return self.on_refused(wish.tag, self._refusal(reply))
        self.on_created(wish.tag)
        return None

    def _refusal(self, reply: Any) -> errors.EtcdError:
        where = self._member.endpoint
        if reply.compact_revision:
            return errors.Compacted(
                f"etcd {where}: the revision which a watch was to begin with is compacted "
                f"(up to {reply.compact_revision})"
            )
        return failures.translate("UNKNOWN", reply.cancel_reason or "cancelled", where, False)

    def _meaning(self, error: Any) -> errors.EtcdError:
        if error.code() is grpc.StatusCode.CANCELLED:
            # By ourselves; or the connection is given up since something else got no answer.
            return errors.EtcdUnavailable(f"etcd {self._member.endpoint}: a watch was cancelled")
        return self._place.endpoints.refused(error, self._member, self._at, write=False)

    def _over(self, why: errors.EtcdError) -> None:
        with self._lock:
            if self.end is not None or self._closed:
                return
            self.end = why
        self._stop()
        if isinstance(why, failures.TokenExpired):
            self._place.rejected()
        self.on_end()

    def _stop(self) -> None:
        self._requests.put(None)
        self._call.cancel()
