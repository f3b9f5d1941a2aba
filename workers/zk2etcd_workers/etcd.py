"""etcd v3 through the etcd3 module's stubs: ranges, Txns, leases. With etcd_wire and
etcd_channel it is the only importer of etcd3 and grpc.

The module's client class is not used (its faults stand in docs/decisions/0001): every call here has
a deadline, nothing is ever re-sent behind the caller's back, and an answer that was lost is an
`AmbiguousWrite` when the request could have changed something.
"""

from __future__ import annotations

import operator
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import etcd3.etcdrpc as rpc
import grpc

from zk2etcd import config, errors, metrics
from zk2etcd_workers import etcd_channel, etcd_errors, etcd_wire, learned, pacing, turn

# The values of etcd_wire are this module's to its callers.
Present = etcd_wire.Present
Put = etcd_wire.Put
Delete = etcd_wire.Delete
Range = etcd_wire.Range
Compare = etcd_wire.Compare
Txn = etcd_wire.Txn
Op = etcd_wire.Op
Answer = etcd_wire.Answer

_PAIR = operator.attrgetter("key", "value")
_READS_IN_TXN = 100


class Page(NamedTuple):
    """Keys and values in columns, without a line of Python for each of 100,000 keys."""

    keys: Sequence[bytes]
    values: Sequence[bytes]
    revision: int
    more: bool
    total: int
    """How many keys the whole range holds, whatever the page's limit."""
    size: int
    """Bytes on the wire."""
    reply: Any

    @property
    def kvs(self) -> list[Present]:
        return [Present(kv.key, kv.value, kv.mod_revision) for kv in self.reply.kvs]


Done = Callable[[Answer | None, errors.EtcdError | None], None]


class Client:
    """One client for all shards of a worker; safe to use from several threads."""

    def __init__(self, settings: config.Etcd, instruments: metrics.Instruments) -> None:
        self._settings = settings
        self._instruments = instruments
        self._lock = threading.Lock()
        self._channels = [
            etcd_channel.connect(endpoint, settings) for endpoint in settings.endpoints
        ]
        self._at = 0
        self._token: tuple[str, float] | None = None
        self._calls: dict[tuple[int, str], Any] = {}
        self.reads_in_txn = _READS_IN_TXN
        self.learned = learned.Learned()
        self._revision = 0
        # How often etcd was found to be behind itself: whoever relied on it starts over.
        self.rollbacks = 0
        self._rate = pacing.Rate(settings.max_writes_per_second)

    @property
    def endpoint(self) -> str:
        return self._settings.endpoints[self._at]

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

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
    ) -> Page:
        """One linearizable page of [key, end), or the one key; ascending by key.

        :raises errors.Compacted: `revision` is gone.
        :raises errors.EtcdError: refused; `EtcdUnavailable`: no answer before the deadline.
        """
        return self.range_soon(
            key, end, limit=limit, revision=revision, keys_only=keys_only, count_only=count_only
        )()

    def range_soon(self, key: bytes, end: bytes = b"", **options: Any) -> Callable[[], Page]:
        """Send a range now; call the result to wait for its page."""
        request = rpc.RangeRequest(key=key, range_end=end, **_range_options(options))
        started, known = time.monotonic(), self._revision
        future = self._begin("KV/Range", request)
        columns: list[Sequence[bytes]] = []
        apart = threading.Event()

        def arrived(call: Any) -> None:
            # Taken apart in grpc's thread, while the caller's waits for something else.
            try:
                if call.code() is grpc.StatusCode.OK:
                    columns.extend(_columns(call.result()))
            finally:
                apart.set()

        future.add_done_callback(arrived)

        def finish() -> Page:
            reply = self._finish("KV/Range", request, future, write=False, op="get", at=started)
            self._saw(reply, known)
            apart.wait()
            # Not there if it was asked a second time, with a new token.
            keys, values = columns or _columns(reply)
            size = int(reply.ByteSize())
            revision, more, total = int(reply.header.revision), bool(reply.more), int(reply.count)
            return Page(keys, values, revision, more, total, size, reply)

        return finish

    # --- Txns --------------------------------------------------------------------------------

    def txn(self, txn: Txn, *, write: bool = True) -> Answer:
        """One Txn, waited for.

        :raises errors.AmbiguousWrite: `write`, and the answer was lost.
        """
        request = etcd_wire.request(txn)
        started, known = time.monotonic(), self._revision
        future = self._begin("KV/Txn", request)
        reply = self._finish("KV/Txn", request, future, write=write, op="txn", at=started)
        self._saw(reply, known)
        return Answer(reply)

    def lookup(self, keys: Sequence[bytes], *, keys_only: bool = False) -> list[Present | None]:
        """Each key as it is now, None where it is absent; in Txns as large as the server takes.

        :raises errors.EtcdError: a Txn was refused or not answered.
        """
        found: list[Present | None] = []
        while len(found) < len(keys):
            chunk = keys[len(found) : len(found) + self.reads_in_txn]
            reads = [Range(key, keys_only=keys_only) for key in chunk]
            try:
                answer = self.txn(Txn((), reads), write=False)
            except (errors.TooManyOperations, errors.TooLarge) as refusal:
                if not self.fewer_reads(len(chunk)):
                    raise refusal
                continue
            found += (next(iter(answer.kvs(at)), None) for at in range(len(chunk)))
        return found

    def fewer_reads(self, refused: int) -> bool:
        """The server did not take `refused` reads in one Txn; False when it cannot be fewer."""
        self.reads_in_txn = min(self.reads_in_txn, max(1, refused // 2))
        return refused > 1

    def txn_soon(self, txn: Txn, done: Done) -> None:
        """Send a write Txn; `done` gets its answer or its error, in a thread of grpc's."""
        started, known = time.monotonic(), self._revision
        try:
            future = self._begin("KV/Txn", etcd_wire.request(txn))
        except errors.EtcdError as error:
            done(None, error)
            return

        def settled(call: Any) -> None:
            failure = self._failure(call, write=True)
            status = "success" if failure is None else type(failure).__name__
            self._instruments.etcd_op("txn", status, time.monotonic() - started)
            if failure is not None:
                done(None, failure)
                return
            self._saw(call.result(), known)
            done(Answer(call.result()), None)

        future.add_done_callback(settled)

    def take(self, writes: int) -> int:
        """How many of `writes` puts and deletes may be sent now; 0 means: ask again soon."""
        with self._lock:
            return self._rate.take(writes, time.monotonic())

    # --- leases ------------------------------------------------------------------------------

    def grant(self, ttl: int) -> tuple[int, int]:
        """A new lease: (its id, the TTL granted, in seconds)."""
        reply = self._call("Lease/LeaseGrant", rpc.LeaseGrantRequest(TTL=ttl))
        return int(reply.ID), int(reply.TTL)

    def keep_alive(self, lease: int, deadline: float) -> int:
        """Renew once; the TTL left in seconds, 0 if the lease is gone.

        The request stream stays open until the answer is there: etcd may cancel the call, and
        drop the renewal, when the client's half closes first.
        """
        answered = threading.Event()

        def requests() -> Iterator[Any]:
            yield rpc.LeaseKeepAliveRequest(ID=lease)
            answered.wait(deadline)

        call = self._bind("Lease/LeaseKeepAlive")(
            requests(), timeout=deadline, metadata=self._metadata()
        )
        try:
            return int(next(iter(call)).TTL)
        except (grpc.RpcError, StopIteration) as error:
            self._rotate()
            raise errors.EtcdUnavailable(f"lease keepalive to {self.endpoint} failed") from error
        finally:
            answered.set()
            call.cancel()

    def revoke(self, lease: int) -> None:
        self._call("Lease/LeaseRevoke", rpc.LeaseRevokeRequest(ID=lease))

    def version(self) -> str:
        """The server's version, as `check` shows it."""
        return str(self._call("Maintenance/Status", rpc.StatusRequest()).version)

    # --- calls -------------------------------------------------------------------------------

    def authenticate(self, older_than: float = 0.0) -> None:
        """Fetch a token if a user is configured and the present one is older (seconds)."""
        settings = self._settings
        if settings.username is None:
            return
        token = self._token
        if token is not None and older_than and time.monotonic() - token[1] < older_than:
            return
        password = config.revealed(settings.password)
        request = rpc.AuthenticateRequest(name=settings.username, password=password)
        future = self._bind("Auth/Authenticate").future(request, timeout=settings.request_timeout)
        self._await(future)
        failure = self._failure(future, write=False)
        if failure is not None:
            raise failure
        self._token = (future.result().token, time.monotonic())

    def _call(self, method: str, request: Any) -> Any:
        started = time.monotonic()
        future = self._begin(method, request)
        return self._finish(method, request, future, write=False, op="", at=started)

    def _begin(self, method: str, request: Any) -> Any:
        return self._bind(method).future(
            request, timeout=self._settings.request_timeout, metadata=self._metadata()
        )

    def _finish(
        self, method: str, request: Any, future: Any, *, write: bool, op: str, at: float
    ) -> Any:
        self._await(future)
        failure = self._failure(future, write=write)
        if isinstance(failure, etcd_errors.TokenExpired):
            # Refused before it was looked at, so asking again with a new token is not a retry.
            self.authenticate()
            future = self._begin(method, request)
            self._await(future)
            failure = self._failure(future, write=write)
        if op:
            status = "success" if failure is None else type(failure).__name__
            self._instruments.etcd_op(op, status, time.monotonic() - at)
        if failure is not None:
            raise failure
        return future.result()

    def _await(self, future: Any) -> None:
        settled = threading.Event()
        future.add_done_callback(lambda _: settled.set())
        # grpc keeps the deadline; a second more is for grpc itself.
        deadline = time.monotonic() + self._settings.request_timeout + 1.0
        while not settled.wait(turn.SLICE) and time.monotonic() < deadline:
            turn.touch()

    def _failure(self, future: Any, *, write: bool) -> errors.EtcdError | None:
        if not future.done():
            future.cancel()
            return etcd_errors.lost(self.endpoint, "no answer", write=write)
        code = future.code()
        if code is grpc.StatusCode.OK:
            return None
        failure = etcd_errors.translate(code.name, future.details() or "", self.endpoint, write)
        if isinstance(failure, etcd_errors.TokenExpired):
            self._token = None
        elif isinstance(failure, errors.EtcdUnavailable | errors.AmbiguousWrite):
            self._rotate()
        return failure

    def _saw(self, reply: Any, known: int) -> None:
        """A linearizable answer is never behind what was known when it was asked for; if it is,
        etcd was put back to an earlier state, and all that was written since is gone."""
        revision = int(reply.header.revision)
        with self._lock:
            if revision >= known:
                self._revision = max(self._revision, revision)
            elif self._revision >= known:
                self.rollbacks += 1
                self._revision = revision

    def _rotate(self) -> None:
        with self._lock:
            self._at = (self._at + 1) % len(self._channels)

    def _metadata(self) -> list[tuple[str, str]] | None:
        if self._settings.username is None:
            return None
        if self._token is None:
            self.authenticate()
        return [("token", self._token[0])] if self._token else None

    def _bind(self, method: str) -> Any:
        at = self._at
        call = self._calls.get((at, method))
        if call is None:
            service, name = method.split("/")
            stub = getattr(rpc, service + "Stub")(self._channels[at])
            call = self._calls[(at, method)] = getattr(stub, name)
        return call


def _columns(reply: Any) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The keys and the values of a range."""
    pairs = list(map(_PAIR, reply.kvs))
    if not pairs:
        return (), ()
    keys, values = zip(*pairs, strict=True)
    return keys, values


def _range_options(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value}
