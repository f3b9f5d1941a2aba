"""etcd v3 through the etcd3 module's stubs: ranges, Txns, leases.

The module's client class is not used (its faults stand in docs/decisions/0001): every call here has
a deadline, nothing is ever re-sent behind the caller's back, and an answer that was lost is an
`AmbiguousWrite` when the request could have changed something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import (
    cluster,
    endpoints,
    failures,
    http_version,
    keepalive,
    limits,
    login,
    seen,
    wire,
)
from zk2etcd_workers.model import pacing

Done = Callable[[wire.Answer | None, errors.EtcdError | None], None]


class Client:
    """One client for all shards of a worker; safe to use from several threads."""

    def __init__(
        self,
        settings: connections.Etcd,
        instruments: metrics.Instruments,
        home: cluster.Home | None = None,
    ) -> None:
        self._settings = settings
        self._instruments = instruments
        self._lock = threading.Lock()
        self._seen = seen.Seen()
        self._endpoints = endpoints.Endpoints(settings)
        self._login = login.Login(settings, self._endpoints)
        self.cluster = cluster.Cluster(
            settings, instruments, self._endpoints, self._login, home, self._seen.put_back
        )
        self.learned = limits.Learned(settings)
        self._rate = pacing.Rate(settings.max_writes_per_second)
        self._reads = pacing.Rate(settings.max_reads_per_second)

    @property
    def endpoint(self) -> str:
        return self._endpoints.current.endpoint

    @property
    def rollbacks(self) -> int:
        """How often etcd was found to be put back: whoever relied on it starts over."""
        return self._seen.rollbacks

    def close(self) -> None:
        self._endpoints.close()

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
        started, known = time.monotonic(), self._seen.revision
        call = self._begin("KV/Range", request)
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
            reply = self._finish("KV/Range", request, call, write=False, op="get", at=started)
            self._seen.saw(reply, known)
            apart.wait()
            # Not there if it was asked a second time, with a new token.
            return found[0] if found else wire.page(reply, time.monotonic() - started)

        return finish

    # --- Txns --------------------------------------------------------------------------------

    def txn(self, txn: wire.Txn, *, write: bool = True) -> wire.Answer:
        """One Txn, waited for.

        :raises errors.AmbiguousWrite: `write`, and the answer was lost.
        """
        request = wire.request(txn)
        started, known = time.monotonic(), self._seen.revision
        call = self._begin("KV/Txn", request)
        reply = self._finish("KV/Txn", request, call, write=write, op="txn", at=started)
        self._seen.saw(reply, known)
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
        since = time.monotonic(), self._seen.revision
        try:
            call = self._begin("KV/Txn", request := wire.request(txn))
        except errors.EtcdError as error:
            done(None, error)
            return
        self._settle_soon(call, request, done, since, first=True)

    def _settle_soon(
        self,
        call: endpoints.Call,
        request: Any,
        done: Done,
        since: tuple[float, int],
        *,
        first: bool,
    ) -> None:
        """:param since: when it was sent, and the revision known before."""
        started, known = since

        def settled(future: Any) -> None:
            failure = self._endpoints.failure(call, write=True)
            failure = failure or self.cluster.stranger(call)
            if isinstance(failure, failures.TokenExpired) and self._login.configured:
                if first:
                    self._anew(call, request, done, failure)
                    return
                failure = self._login.refuses_its_own(call)
            self._ended("txn", failure, started)
            if failure is not None:
                done(None, failure)
                return
            self._seen.saw(future.result(), known)
            done(wire.Answer(future.result()), None)

        call.future.add_done_callback(settled)

    def _anew(
        self, call: endpoints.Call, request: Any, done: Done, refusal: errors.EtcdError
    ) -> None:
        """Send a Txn with a new token that was refused unseen for its old one. This runs in a
        thread of grpc's, so it waits for nothing."""
        self._login.rejected(call.token)

        def logged_in(failure: errors.EtcdError | None) -> None:
            if failure is not None or self._login.lacking:
                done(None, failure or refusal)
                return
            since = time.monotonic(), self._seen.revision
            try:
                again = self._sent("KV/Txn", request)
            except errors.EtcdError as error:
                done(None, error)
                return
            self._settle_soon(again, request, done, since, first=False)

        if self._login.token is not None:
            logged_in(None)
        else:
            self._login.soon(logged_in)

    def take(self, writes: int) -> int:
        """How many of `writes` puts and deletes may be sent now; 0 means: ask again soon."""
        with self._lock:
            return self._rate.take(writes, time.monotonic())

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
        reply = self._call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl))
        return int(reply.ID), int(reply.TTL)

    def keep_alive(self, lease: int, deadline: float) -> int:
        """Renew once; the TTL left in seconds, 0 or less if the lease is gone. Less than was
        granted means that it was not renewed.

        :raises errors.EtcdError: refused; `EtcdUnavailable`: no answer before the deadline.
        """
        token = self._fresh_token()
        try:
            return keepalive.renew(self._endpoints, self.cluster, lease, deadline, token)
        except failures.TokenExpired:
            self._login.rejected(token)
            raise

    def ttl(self, lease: int, deadline: float) -> tuple[int, Sequence[bytes]]:
        """The seconds that a lease has left, below 0 if it is gone, and the keys that hang on it;
        renews nothing."""
        method, request = "Lease/LeaseTimeToLive", rpc.LeaseTimeToLiveRequest(ID=lease, keys=True)
        started, token = time.monotonic(), self._fresh_token()
        self.cluster.vouch()
        call = self._endpoints.send(method, request, deadline, token)
        reply = self._finish(method, request, call, write=False, op="", at=started)
        return int(reply.TTL), reply.keys

    def revoke(self, lease: int) -> None:
        self._call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    def version(self) -> str:
        """The version of the member in use, as `check` shows it; "" if it is kept from us."""
        try:
            return str(self._call("Maintenance/Status", rpc.StatusRequest()).version)
        except errors.EtcdDenied:
            return http_version.ask(self.endpoint, self._settings)

    # --- calls -------------------------------------------------------------------------------

    def authenticate(self, older_than: float = 0.0) -> None:
        """Fetch a token if a user is configured and the present one is older (seconds)."""
        if self._login.configured and self._login.age() >= older_than:
            self._login.now()

    def _call(self, method: str, request: Any) -> Any:
        started = time.monotonic()
        call = self._begin(method, request)
        return self._finish(method, request, call, write=False, op="", at=started)

    def _begin(self, method: str, request: Any) -> endpoints.Call:
        self._fresh_token()
        self.cluster.vouch()
        return self._sent(method, request)

    def _sent(self, method: str, request: Any) -> endpoints.Call:
        return self._endpoints.send(
            method, request, self._settings.request_timeout, self._login.token
        )

    def _finish(
        self,
        method: str,
        request: Any,
        call: endpoints.Call,
        *,
        write: bool,
        op: str,
        at: float,
    ) -> Any:
        failure = self._outcome(call, write=write)
        if self._login.configured and isinstance(failure, failures.TokenExpired):
            # Refused before it was looked at, so asking again with a new token is not a retry.
            self._login.rejected(call.token)
            call = self._begin(method, request)
            failure = self._outcome(call, write=write)
            if isinstance(failure, failures.TokenExpired):
                failure = self._login.refuses_its_own(call)
        if op:
            self._ended(op, failure, at)
        failure = failure or self.cluster.stranger(call)
        if failure is not None:
            raise failure
        return call.future.result()

    def _ended(self, op: str, failure: errors.EtcdError | None, started: float) -> None:
        status = "success" if failure is None else type(failure).__name__
        took = (now := time.monotonic()) - started
        self._instruments.etcd_op(op, status, took)
        self.learned.unanswered(failure, took, now)

    def _outcome(self, call: endpoints.Call, *, write: bool) -> errors.EtcdError | None:
        settled = threading.Event()
        call.future.add_done_callback(lambda _: settled.set())
        endpoints.wait(settled, self._settings.request_timeout)
        return self._endpoints.failure(call, write=write)

    def _fresh_token(self) -> str | None:
        """The login's token, fetched if it is lacking; None if none is needed."""
        if self._login.lacking:
            self._login.now()
        return self._login.token
