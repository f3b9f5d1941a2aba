"""etcd v3 through the etcd3 module's stubs: ranges, Txns, leases.

The module's client class is not used (its faults stand in docs/decisions/0001): every call here has
a deadline, and none is re-sent behind the caller's back (`calls`).
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import calls, cluster, failures, http_version, limits, wire
from zk2etcd_workers.etcd.streams import keepalive, stream, watching
from zk2etcd_workers.model import pacing

Done = calls.Done


class Client:
    """One client for all shards of a worker; safe to use from several threads."""

    def __init__(
        self,
        settings: connections.Etcd,
        instruments: metrics.Instruments,
        home: cluster.Home | None = None,
    ) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._calls = calls.Calls(settings, instruments, home)
        self.cluster = self._calls.cluster
        self.learned = self._calls.learned
        self._rate = pacing.Rate(settings.max_writes_per_second)
        self._reads = pacing.Rate(settings.max_reads_per_second)

    @property
    def endpoint(self) -> str:
        return self._calls.endpoints.current.endpoint

    @property
    def rollbacks(self) -> int:
        """How often etcd was found to be put back: whoever relied on it starts over."""
        return self._calls.seen.rollbacks

    def close(self) -> None:
        self._calls.endpoints.close()

    # --- reads -------------------------------------------------------------------------------

    def range(
        self,
        key: bytes,
        end: bytes = b"",
        *,
        limit: int = 0,
        revision: int = 0,
        keys_only: bool = False,
        count_only: bool = False,
    ) -> wire.Page:
        """One linearizable page of [key, end), or the one key; ascending by key.

        :raises errors.Compacted: `revision` is gone.
        :raises errors.EtcdError: refused; `EtcdUnavailable`: no answer before the deadline.
        """
        return self.range_soon(
            key, end, limit=limit, revision=revision, keys_only=keys_only, count_only=count_only
        )()

    def range_soon(
        self, key: bytes, end: bytes = b"", *, expected: int = 0, **options: Any
    ) -> Callable[[], wire.Page]:
        """Send a range now; call the result to wait for its page.

        :param expected: bytes that it will have, about: they are under way then.
        """
        request = rpc.RangeRequest(key=key, range_end=end, **options)
        started, known = time.monotonic(), self._calls.seen.revision
        call = self._calls.begin("KV/Range", request)
        found: list[wire.Page] = []
        apart, down = threading.Event(), self.learned.down
        if expected:
            down.take(apart, expected, started)

        def arrived(future: Any) -> None:
            # Taken apart in grpc's thread, while the caller's waits for something else.
            took = (now := time.monotonic()) - started
            try:
                if future.code() is grpc.StatusCode.OK:
                    found.append(wire.page(future.result(), took, request.keys_only))
            finally:
                down.ended(apart, found[0].size if found else None, now)
                apart.set()

        call.future.add_done_callback(arrived)

        def finish() -> wire.Page:
            reply = self._calls.finish("KV/Range", request, call, write=False, op="get", at=started)
            self._calls.seen.saw(reply, known)
            apart.wait()
            # Not there if it was asked a second time, with a new token.
            return found[0] if found else wire.page(reply, time.monotonic() - started)

        return finish

    def watch(self, scope: watching.Scope, told: Callable[[], None]) -> watching.Watch:
        """Have changes told from now on; `told` is called for each, and when the watch is over.

        :raises errors.EtcdError: it could not be begun.
        """
        return watching.Watch(self.place(), scope, told)

    def place(self) -> stream.Place:
        """Where a stream is opened.

        :raises errors.EtcdError: there is no token for it.
        """
        token, calls = self._calls.fresh_token(), self._calls
        rejected = functools.partial(calls.login.rejected, token)
        return stream.Place(calls.endpoints, calls.cluster, token, rejected)

    # --- Txns --------------------------------------------------------------------------------

    def txn(self, txn: wire.Txn, *, write: bool = True) -> wire.Answer:
        """One Txn, waited for.

        :raises errors.AmbiguousWrite: `write`, and the answer was lost.
        """
        request = wire.request(txn)
        started, known = time.monotonic(), self._calls.seen.revision
        call = self._calls.begin("KV/Txn", request)
        reply = self._calls.finish("KV/Txn", request, call, write=write, op="txn", at=started)
        self._calls.seen.saw(reply, known)
        return wire.Answer(reply)

    def lookup(
        self, keys: Sequence[bytes], *, keys_only: bool = False
    ) -> list[wire.Present | None]:
        """Each key as it is now, None where absent; in Txns as large as server and memory take.

        :raises errors.EtcdError: a Txn was refused or not answered.
        """
        return limits.lookup(self, keys, keys_only=keys_only)

    def txn_soon(self, txn: wire.Txn, done: Done) -> None:
        """Send a write Txn; `done` gets its answer or its error, in a thread of grpc's."""
        since = time.monotonic(), self._calls.seen.revision
        try:
            call = self._calls.begin("KV/Txn", request := wire.request(txn))
        except errors.EtcdError as error:
            done(None, error)
            return
        self._calls.settle_soon(call, request, done, since, first=True)

    def take(self, writes: int) -> int:
        """How many of `writes` puts and deletes may be sent now; 0 means: ask again soon."""
        with self._lock:
            return self._rate.take(writes, time.monotonic())

    def give(self, unused: int) -> None:
        """So many of those that `take` allowed are not sent after all."""
        with self._lock:
            self._rate.give(unused)

    def most_keys(self, keys: int) -> int:
        """How many keys a page of a walk may have."""
        return self._reads.most(keys)

    def rest_after(self, keys: int) -> float:
        """A walk has read so many: the seconds that it rests before it reads more."""
        with self._lock:
            return self._reads.spend(keys, time.monotonic())

    # --- leases ------------------------------------------------------------------------------

    def grant(self, ttl: int) -> tuple[int, int]:
        """A new lease: (its id, the TTL granted, in seconds)."""
        reply = self._calls.ask("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl))
        return int(reply.ID), int(reply.TTL)

    def keep_alive(self, lease: int, deadline: float) -> int:
        """Renew once; the TTL left in seconds, 0 or less if the lease is gone. Less than was
        granted means that it was not renewed.

        :raises errors.EtcdError: refused; `EtcdUnavailable`: no answer before the deadline.
        """
        token = self._calls.fresh_token()
        try:
            return keepalive.renew(self._calls.endpoints, self.cluster, lease, deadline, token)
        except failures.TokenExpired:
            self._calls.login.rejected(token)
            raise

    def ttl(self, lease: int, deadline: float) -> tuple[int, Sequence[bytes]]:
        """The seconds that a lease has left, below 0 if it is gone, and the keys that hang on it;
        renews nothing."""
        method, request = "Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=True)
        started, token = time.monotonic(), self._calls.fresh_token()
        self.cluster.vouch()
        call = self._calls.endpoints.send(method, request, deadline, token)
        reply = self._calls.finish(method, request, call, write=False, op="", at=started)
        return int(reply.TTL), reply.keys

    def revoke(self, lease: int) -> None:
        self._calls.ask("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    def version(self) -> str:
        """The version of the member in use, as `check` shows it; "" if it is kept from us."""
        try:
            return str(self._calls.ask("Maintenance/Status", rpc.StatusRequest()).version)
        except errors.EtcdDenied:
            return http_version.ask(self.endpoint, self._settings)

    def authenticate(self, older_than: float = 0.0) -> None:
        """Fetch a token if a user is configured and the present one is older (seconds)."""
        if self._calls.login.configured and self._calls.login.age() >= older_than:
            self._calls.login.now()
