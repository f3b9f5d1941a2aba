"""The token of a login with user name and password: fetched once for all who wait for it.

etcd forgets tokens when it restarts and when they grow old, and answers so before it looks at a
request: such a request was never begun, so sending it with a new token is no retry.

Where logins are switched off (`auth disable`) no token is to be had and none is needed: requests go
without one, until etcd asks for it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import etcd3.etcdrpc as rpc

from zk2etcd import errors
from zk2etcd.config import connections, models
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import endpoints as members, failures

Then = Callable[[errors.EtcdError | None], None]


class Login:
    def __init__(self, settings: connections.Etcd, endpoints: members.Endpoints) -> None:
        self._settings = settings
        self._endpoints = endpoints
        self._lock = threading.Lock()
        self._waiting: list[Then] = []
        self._at = 0.0
        self._off = False
        self.token: str | None = None

    @property
    def configured(self) -> bool:
        """A user is configured."""
        return self._settings.username is not None

    @property
    def lacking(self) -> bool:
        """A request must wait for a token: there is none, and etcd is not known to want none."""
        return self.configured and self.token is None and not self._off

    def age(self) -> float:
        """Seconds since etcd was asked for the token; endless if there is no answer that counts."""
        return time.monotonic() - self._at if self.token or self._off else float("inf")

    def rejected(self, token: str | None) -> None:
        """etcd does not take `token` (None: a request without one) any more; a newer one is
        kept."""
        with self._lock:
            if self.token == token:
                self.token, self._off = None, False

    def refuses_its_own(self, call: members.Call) -> errors.EtcdError:
        """A member does not take the token that it gave a moment ago: it is left, as one that does
        not answer. What it refused it refused unseen."""
        self.rejected(call.token)
        self._endpoints.failed(call.member)
        failure = errors.UnfitMember(
            f"etcd {call.member.endpoint}: it refuses the token of the login that it took just "
            "before: see its --auth-token, and that its clock is right"
        )
        # Said here, since whoever met it may have nothing to report, and the next one will not.
        logger.get().warning("etcd member left", error=str(failure))
        return failure

    def now(self) -> None:
        """Fetch a token and wait for it.

        :raises errors.EtcdDenied: user or password is wrong; `EtcdUnavailable`: no answer.
        """
        settled = threading.Event()
        outcomes: list[errors.EtcdError | None] = []

        def then(failure: errors.EtcdError | None) -> None:
            outcomes.append(failure)
            settled.set()

        self.soon(then)
        members.wait(settled, self._settings.request_timeout)
        if not outcomes:
            raise errors.EtcdUnavailable("etcd did not answer a login")
        if outcomes[0] is not None:
            raise outcomes[0]

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
        off = isinstance(failure, failures.NoLogins)
        with self._lock:
            if off or failure is None:
                said_before = self._off
                self.token, self._at, self._off = token, time.monotonic(), off
            waiting, self._waiting = self._waiting, []
        if off and not said_before:
            logger.get().warning(
                "etcd asks for no login: going on without one", user=self._settings.username
            )
        for then in waiting:
            then(None if off else failure)
