"""The token of a login with user name and password: fetched once for all who wait for it.

etcd forgets tokens when it restarts and when they grow old, and answers so before it looks at a
request: such a request was never begun, so sending it with a new token is no retry.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import etcd3.etcdrpc as rpc

from zk2etcd import errors
from zk2etcd.config import connections, models
from zk2etcd_workers.etcd import endpoints as members

Then = Callable[[errors.EtcdError | None], None]


class Login:
    def __init__(self, settings: connections.Etcd, endpoints: members.Endpoints) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._waiting: list[Then] = []
        self._at = 0.0
        self.token: str | None = None

    @property
    def needed(self) -> bool:
        """A user is configured."""
        return self._settings.username is not None

    def age(self) -> float:
        """Seconds since the token was fetched; endless if there is none."""
        return time.monotonic() - self._at if self.token else float("inf")

    def rejected(self, token: str | None) -> None:
        """etcd does not know `token` any more; a newer one is kept."""
        with self._lock:
            if self.token == token:
                self.token = None

    def now(self) -> None:
        """Fetch a token and wait for it.

        :raises errors.EtcdDenied: user or password is wrong; `EtcdUnavailable`: no answer.
        """
        settled = threading.Event()
        failures: list[errors.EtcdError | None] = []

        def then(failure: errors.EtcdError | None) -> None:
            failures.append(failure)
            settled.set()

        self.soon(then)
        members.wait(settled, self._settings.request_timeout)
        if not failures:
            raise errors.EtcdUnavailable("etcd did not answer a login")
        if failures[0] is not None:
            raise failures[0]

    def soon(self, then: Then) -> None:
        """Fetch a token; `then` gets None or what went wrong, perhaps in a thread of grpc's."""
        with self._lock:
            self._waiting.append(then)
            if len(self._waiting) > 1:
                return
        name, password = self._settings.username, models.revealed(self._settings.password)
        request = rpc.AuthenticateRequest(name=name or "", password=password)
        try:
            call = self._endpoints.send(
                "Auth/Authenticate", request, self._settings.request_timeout
            )
        except errors.EtcdError as error:
            self._settled(None, error)
            return
        call.future.add_done_callback(lambda _: self._answered(call))

    def _answered(self, call: members.Call) -> None:
        failure = self._endpoints.failure(call, write=False)
        self._settled(None if failure else str(call.future.result().token), failure)

    def _settled(self, token: str | None, failure: errors.EtcdError | None) -> None:
        with self._lock:
            if failure is None:
                self.token, self._at = token, time.monotonic()
            waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(failure)
