"""One call to etcd: sent to a member of our cluster, with our login, and what its end means.

Nothing is ever re-sent behind the caller's back, but for what a member refused unseen for its old
token. An answer that was lost is an `AmbiguousWrite` when the request could have changed something.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import cluster, endpoints, failures, limits, login, seen, wire

Done = Callable[[wire.Answer | None, errors.EtcdError | None], None]


class Calls:
    """All calls of one client; safe to use from several threads."""

    def __init__(
        self,
        settings: connections.Etcd,
        instruments: metrics.Instruments,
        home: cluster.Home | None = None,
    ) -> None:
        self._settings = settings
        self._instruments = instruments
        self.seen = seen.Seen()
        self.endpoints = endpoints.Endpoints(settings)
        self.login = login.Login(settings, self.endpoints)
        self.cluster = cluster.Cluster(
            settings, instruments, self.endpoints, self.login, home, self.seen.put_back
        )
        self.learned = limits.Learned(settings)

    def ask(self, method: str, request: Any) -> Any:
        """Send a request that writes no key, and wait for its answer."""
        started = time.monotonic()
        call = self.begin(method, request)
        return self.finish(method, request, call, write=False, op="", at=started)

    def begin(self, method: str, request: Any) -> endpoints.Call:
        """Send a request, logged in, to a member of our cluster."""
        self.fresh_token()
        self.cluster.vouch()
        return self._sent(method, request)

    def finish(
        self,
        method: str,
        request: Any,
        call: endpoints.Call,
        *,
        write: bool,
        op: str,
        at: float,
    ) -> Any:
        """Wait for its answer.

        :param op: as which operation it is counted, "" for none; `at` is when it began.
        """
        failure = self._outcome(call, write=write)
        if self.login.configured and isinstance(failure, failures.TokenExpired):
            # Refused before it was looked at, so asking again with a new token is not a retry.
            self.login.rejected(call.token)
            call = self.begin(method, request)
            failure = self._outcome(call, write=write)
            if isinstance(failure, failures.TokenExpired):
                failure = self.login.refuses_its_own(call)
        if op:
            self._ended(op, failure, at)
        failure = failure or self.cluster.stranger(call)
        if failure is not None:
            raise failure
        return call.future.result()

    def settle_soon(
        self,
        call: endpoints.Call,
        request: Any,
        done: Done,
        since: tuple[float, int],
        *,
        first: bool,
    ) -> None:
        """Let `done` have the answer to a Txn, or its error, in a thread of grpc's.

        :param since: when it was sent, and the revision known before.
        :param first: it may be sent again with a new token.
        """
        started, known = since

        def settled(future: Any) -> None:
            failure = self.endpoints.failure(call, write=True)
            failure = failure or self.cluster.stranger(call)
            if isinstance(failure, failures.TokenExpired) and self.login.configured:
                if first:
                    self._anew(call, request, done, failure)
                    return
                failure = self.login.refuses_its_own(call)
            self._ended("txn", failure, started)
            if failure is not None:
                done(None, failure)
                return
            self.seen.saw(future.result(), known)
            done(wire.Answer(future.result()), None)

        call.future.add_done_callback(settled)

    def fresh_token(self) -> str | None:
        """The login's token, fetched if it is lacking; None if none is needed."""
        if self.login.lacking:
            self.login.now()
        return self.login.token

    def _sent(self, method: str, request: Any) -> endpoints.Call:
        return self.endpoints.send(
            method, request, self._settings.request_timeout, self.login.token
        )

    def _anew(
        self, call: endpoints.Call, request: Any, done: Done, refusal: errors.EtcdError
    ) -> None:
        """Send a Txn with a new token that was refused unseen for its old one. This runs in a
        thread of grpc's, so it waits for nothing."""
        self.login.rejected(call.token)

        def logged_in(failure: errors.EtcdError | None) -> None:
            if failure is not None or self.login.lacking:
                done(None, failure or refusal)
                return
            since = time.monotonic(), self.seen.revision
            try:
                again = self._sent("KV/Txn", request)
            except errors.EtcdError as error:
                done(None, error)
                return
            self.settle_soon(again, request, done, since, first=False)

        if self.login.token is not None:
            logged_in(None)
        else:
            self.login.soon(logged_in)

    def _outcome(self, call: endpoints.Call, *, write: bool) -> errors.EtcdError | None:
        settled = threading.Event()
        call.future.add_done_callback(lambda _: settled.set())
        endpoints.wait(settled, self._settings.request_timeout)
        return self.endpoints.failure(call, write=write)

    def _ended(self, op: str, failure: errors.EtcdError | None, started: float) -> None:
        status = "success" if failure is None else type(failure).__name__
        took = (now := time.monotonic()) - started
        self._instruments.etcd_op(op, status, took)
        self.learned.unanswered(failure, took, now)
