"""The members of an etcd cluster: which one is asked, and when another is.

Every call goes to one member, and a call that it did not answer makes the next one the member of
all later calls. Nothing is sent a second time here: whether that may be done is its sender's to
know. Certificates are read when a channel is made. It is made anew when their files have changed,
and when a call got no sign of life by its deadline: a connection may carry nothing more while new
ones work.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd_workers import turn
from zk2etcd_workers.etcd import channel, failures

_LEAVES = (
    errors.EtcdUnavailable,
    errors.AmbiguousWrite,
    errors.UnfitMember,
    failures.WrongLogin,
)
"""What a member answers that is left for the next one."""
_YOUNG = 0.5
"""Seconds that a connection gets before it is replaced by another."""


class Call(NamedTuple):
    """One request under way: `token` is the login it was sent with, `at` when (monotonic)."""

    future: Any
    member: Member
    token: str | None
    at: float


class Member:
    """One endpoint and its channel, which is made at the first call."""

    def __init__(self, endpoint: str, settings: connections.Etcd) -> None:
        self.endpoint = endpoint
        self._settings = settings
        self._lock = threading.Lock()
        self._channel: Any = None
        self._made = 0.0
        self._files: tuple[bytes | None, ...] = ()
        self._methods: dict[str, Any] = {}

    def method(self, name: str) -> Any:
        """The callable for "Service/Method".

        :raises errors.EtcdUnavailable: a certificate's file cannot be read.
        """
        found = self._methods.get(name)
        if found is not None:
            return found
        with self._lock:
            if self._channel is None:
                self._files = channel.files(self.endpoint, self._settings)
                self._channel = channel.connect(self.endpoint, self._files)
                self._made = time.monotonic()
            service, method = name.split("/")
            stub = getattr(rpc, service + "Stub")(self._channel)
            return self._methods.setdefault(name, getattr(stub, method))

    def refresh(self, blamed_since: float | None = None) -> None:
        """It did not answer, or as nobody should. If its certificates were replaced, that may be
        why; so may its connection, which had a call sent at `blamed_since`."""
        with self._lock:
            if self._channel is None:
                return
            if not (self._is_blamed(blamed_since) or self._is_renewed()):
                return
            old, self._channel, self._methods = self._channel, None, {}
        # Other calls may be under way on it, and closing cancels them: they get their time first.
        ending = threading.Timer(self._settings.request_timeout + 1.0, old.close)
        ending.daemon = True
        ending.start()

    def _is_blamed(self, since: float | None) -> bool:
        """A newer one than that call's is not to blame; nor are many made in a moment, whoever
        asks."""
        young = time.monotonic() - self._made < _YOUNG
        return since is not None and self._made <= since and not young

    def _is_renewed(self) -> bool:
        """Whether the files of its certificates have changed."""
        try:
            return channel.files(self.endpoint, self._settings) != self._files
        except errors.EtcdUnavailable:
            # In the middle of being replaced, perhaps. What was read still holds.
            return False

    def close(self) -> None:
        with self._lock:
            if self._channel is not None:
                self._channel.close()


class Endpoints:
    """All of them. Safe to use from several threads."""

    def __init__(self, settings: connections.Etcd) -> None:
        self._members = [Member(endpoint, settings) for endpoint in settings.endpoints]
        self._lock = threading.Lock()
        self._at = 0
        self.moves = 0
        """How often a member was left: whoever answers next may be another."""

    def all(self) -> list[Member]:
        """Every one, beginning with the current."""
        at = self._at
        return self._members[at:] + self._members[:at]

    def choose(self, endpoint: str) -> Member:
        """Make this one the current."""
        with self._lock:
            self._at = next(at for at, m in enumerate(self._members) if m.endpoint == endpoint)
            return self._members[self._at]

    def avoid(self, found: Sequence[str]) -> None:
        """Whoever answers at these endpoints is nobody to talk to: next time by new connections."""
        for member in self._members:
            if member.endpoint in found:
                member.refresh(time.monotonic())

    @property
    def current(self) -> Member:
        return self._members[self._at]

    def close(self) -> None:
        for member in self._members:
            member.close()

    def send(self, method: str, request: Any, seconds: float, token: str | None = None) -> Call:
        """Send `request` to the current member.

        :raises errors.EtcdUnavailable: it was not sent.
        """
        member = self.current
        try:
            return self.ask(member, method, request, seconds, token)
        except errors.EtcdUnavailable:
            self.failed(member)
            raise

    def ask(
        self, member: Member, method: str, request: Any, seconds: float, token: str | None
    ) -> Call:
        """Send `request` to this member; nothing follows from what becomes of it.

        :raises errors.EtcdUnavailable: it was not sent.
        """
        at = time.monotonic()
        metadata = [("token", token)] if token else None
        try:
            future = member.method(method).future(request, timeout=seconds, metadata=metadata)
        except ValueError as error:
            # The channel was closed meanwhile: its certificates were replaced, or we are ending.
            raise errors.EtcdUnavailable(f"etcd {member.endpoint}: {error}") from error
        return Call(future, member, token, at)

    def failed(self, member: Member, blamed_since: float | None = None) -> None:
        """`member` did not answer a call. Several calls that fail together count once: else two of
        them would come back to the member that is away.

        :param blamed_since: when the call was sent, if its connection is not to be used again:
            nothing at all came back, or the answer of one whom a new connection may well avoid,
            since one address may lead to many (a load balancer, a Service of Kubernetes).
        """
        with self._lock:
            self.moves += 1
            if self._members[self._at] is member:
                self._at = (self._at + 1) % len(self._members)
        member.refresh(blamed_since)

    def failure(self, call: Call, *, write: bool) -> errors.EtcdError | None:
        """What a call's end means; None if it was answered well."""
        future, member = call.future, call.member
        if not future.done():
            future.cancel()
            self.failed(member, call.at)
            return failures.lost(member.endpoint, "no answer", write=write)
        if future.code() is grpc.StatusCode.OK:
            return None
        return self.refused(future, member, call.at, write=write)

    def meaning(self, call: Call) -> errors.EtcdError | None:
        """What the end of a read means; None if it was answered well. No member is left for it."""
        future, member = call.future, call.member
        if future.cancelled() or future.code() is grpc.StatusCode.OK:
            return None
        details = future.details() or ""
        failure = failures.translate(future.code().name, details, member.endpoint, False)
        if isinstance(failure, _LEAVES) and _is_connected(future, failure):
            member.refresh(call.at)
        return failure

    def refused(self, status: Any, member: Member, at: float, *, write: bool) -> errors.EtcdError:
        """What a status other than OK means; a member that cannot be reached is left.

        :param at: when the call was sent.
        """
        details = status.details() or ""
        failure = failures.translate(status.code().name, details, member.endpoint, write)
        if isinstance(failure, _LEAVES):
            self.failed(member, at if _is_connected(status, failure) else None)
        return failure


def _is_connected(status: Any, failure: errors.EtcdError) -> bool:
    """There was a connection, over which came nothing, or this: another one may well be better."""
    silent = status.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    unfit = isinstance(failure, errors.UnfitMember)
    return silent or unfit or failures.is_said(status.details() or "")


def wait(settled: threading.Event, seconds: float) -> None:
    """Wait for an answer, with the shard's pulse. grpc keeps the deadline; a second more is for
    grpc itself."""
    deadline = time.monotonic() + seconds + 1.0
    while not settled.wait(turn.SLICE) and time.monotonic() < deadline:
        turn.touch()
