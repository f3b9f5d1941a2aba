"""One ZooKeeper session for all shards of a worker.

Callers send bulk reads and get `Reply` values back through a callable, which runs in kazoo's
connection thread and must only enqueue. Nothing here decides what a reply means for a shard; but a
reply that cannot be trusted says so in its `error`: the session broke while it was under way
(`SessionDoubt`) or it comes from before the floor (`StaleRead`).
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import kazoo.exceptions
import kazoo.protocol.states

from zk2etcd import config, errors, metrics
from zk2etcd_workers import (
    pacing,
    zk_choice,
    zk_classic,
    zk_connection,
    zk_plain,
    zk_protocol,
    zk_refusal,
)

_STATES = kazoo.protocol.states.KazooState
_GOODBYE = 1.0
_TRY_AGAIN = 1.0
_SHOWN = 3
_QUIET = logging.getLogger("kazoo.quiet")
# kazoo warns of each attempt that fails, for hours; a shard says it once, and status why.
_QUIET.setLevel(logging.ERROR)


@dataclasses.dataclass(frozen=True)
class Reply:
    """The answer to one request. `results` is aligned with `ops`; `zxid` is the reply header's."""

    ops: Sequence[zk_protocol.Op]
    tag: Any
    epoch: int
    zxid: int
    results: Sequence[Any]
    error: errors.ZooKeeperError | None


ReplySink = Callable[[Reply], None]


class _Pending:
    """Shaped like kazoo's async result; hands the answer over without a thread in between."""

    __slots__ = (
        *("client", "done", "epoch", "op", "permits", "request"),
        *("session", "sink", "started", "tag"),
    )

    def __init__(
        self, session: Session, request: Any, op: str, sink: ReplySink, tag: Any, permits: int
    ) -> None:
        self.session = session
        self.client: zk_connection.Client | None = None
        self.request = request
        self.op = op
        self.sink = sink
        self.tag = tag
        self.permits = permits
        self.epoch = session.epoch
        self.started = time.monotonic()
        self.done = False

    def set(self, value: Any) -> None:
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        self._settle((), error)

    def _settle(self, value: Any, error: BaseException | None) -> None:
        # kazoo sets the exception twice when it is closing (its `_call`).
        if not self.done:
            self.done = True
            if self.client is not None:
                self.client.answered(self)
            self.session._answered(self, value, error)


class Session:
    """A connection that comes back by itself. `epoch` changes with every connection and with every
    loss of one: work that began in another epoch is in doubt."""

    def __init__(self, settings: config.ZooKeeper, instruments: metrics.Instruments) -> None:
        self._settings = settings
        self._instruments = instruments
        self._lock = threading.Lock()
        self._client: zk_connection.Client | None = None
        self._floor = 0
        self._sinks: dict[bytes, zk_connection.Sink] = {}
        self._doubts: dict[bytes, Callable[[], None]] = {}
        self._down_since = time.monotonic()
        self._closed = False
        self._refusals: dict[str, str] = {}
        self.handshake = zk_connection.HANDSHAKE
        self.epoch = 0
        self.connected = False
        self.trouble = "not connected yet"
        self.behind: dict[str, int] = {}
        """The hosts that refused us since the last connection because they are behind what we
        have seen, and their zxids."""
        self.protocol: str | None = None
        """bulk or classic, once it is known."""
        self._watches: zk_classic.Watches | None = None
        self.budget = pacing.Budget()
        self.rate = pacing.Rate(settings.max_reads_per_second)

    # --- life --------------------------------------------------------------------------------

    def open(self, floor: int) -> None:
        """Connect in the background, to servers at or above `floor` only. Safe to call again.

        :raises errors.ZooKeeperError: a package that the settings need is not installed.
        """
        with self._lock:
            self._floor = max(self._floor, floor)
            if self._client is None and not self._closed:
                self._client = self._make()
                self._down_since = time.monotonic()
                self._client.start_async()

    def lower(self, floor: int) -> None:
        """A person has said that an ensemble behind what we saw is the right one: connect anew,
        to servers at or above `floor`."""
        with self._lock:
            self._floor = floor
            self._refusals, self.behind = {}, {}
            client = self._client
        if client is not None:
            self._replace(client)

    @property
    def all_behind(self) -> bool:
        """Every host refused us since the last connection, each because it serves an ensemble
        that is behind the floor."""
        known = self._refusals.keys() == self.behind.keys()
        behind = all(zxid < self._floor for zxid in self.behind.values())
        return known and behind and len(self.behind) >= len(self._settings.hosts)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            # kazoo waits for the server to say goodbye; we do not, for long.
            closing = threading.Thread(target=_discard, args=(client,), daemon=True)
            closing.start()
            closing.join(_GOODBYE)

    def tend(self, now: float) -> None:
        """Called every second or so: cut a connection that does not answer, and replace a client
        that has been without one for longer than a session lasts, or that has given up. A client
        that has seen a zxid which the servers lost is refused for ever; a new one knows only the
        floor."""
        client = self._client
        if client is None:
            return
        for path in self._watches.due() if self._watches is not None else ():
            self._list_again(path)
        # While there is no connection the client ends all requests; a late one goes with the next.
        oldest = client.oldest() if self.connected else None
        if oldest is not None and now - oldest > self._settings.request_timeout:
            self.drop(f"no answer within {self._settings.request_timeout:g} s")
        away = now - self._down_since
        patience = max(self._settings.session_timeout, self._settings.connect_timeout) + 1
        if client.has_ended:
            patience = _TRY_AGAIN
        if not self.connected and away > patience:
            self._replace(client)

    def _replace(self, client: zk_connection.Client) -> None:
        with self._lock:
            if self._client is not client or self._closed:
                return
            self._client = None
        threading.Thread(target=_discard, args=(client,), daemon=True).start()
        self.open(0)

    def drop(self, why: str) -> None:
        """Break the connection: the server behind it cannot be trusted or does not answer."""
        self.trouble = why
        if self._client is not None:
            self._client.cut()

    def _make(self) -> zk_connection.Client:
        settings = self._settings
        if settings.sasl is not None and not zk_connection.KNOWS_SASL:
            raise errors.ZooKeeperError(
                "zookeeper.sasl needs the package pure-sasl: pip install 'zk2etcd[sasl]'"
            )
        client = zk_connection.Client(
            self,
            settings.connect_timeout,
            settings.tls,
            hosts=",".join(settings.hosts),
            timeout=settings.session_timeout,
            logger=_QUIET,
            **_security(settings),
        )
        client.add_listener(lambda state: self._changed(client, state))
        return client

    # --- called by the connection (its thread) -----------------------------------------------

    def floor(self) -> int:
        return self._floor

    def connecting(self) -> None:
        self._instruments.zk_connecting()

    def established(self, client: zk_connection.Client) -> None:
        if client is self._client:
            self._instruments.zk_connected()
            self.trouble = ""
            self._refusals, self.behind = {}, {}
            self._turned(connected=True)

    def refused(self, host: str, why: str, hung_up_at: int | None = None) -> None:
        """:param hung_up_at: the server closed the connection without a word, as it does to a
        client that has seen a later zxid than its own; the latest that ours has seen."""
        zxid = zk_refusal.behind(host, self._settings, hung_up_at) if hung_up_at else None
        if zxid is not None and hung_up_at is not None:
            why = zk_refusal.told_behind(zxid, hung_up_at)
            self.behind = {**self.behind, host: zxid}
        self._refusals = {**self._refusals, host: f"{host}: {why}"}
        shown = list(self._refusals.values())[:_SHOWN]
        more = len(self._refusals) - len(shown)
        self.trouble = "; ".join(shown) + (f"; and {more} more" if more else "")

    def event(self, kind: int, path: bytes) -> None:
        watches = self._watches
        if watches is not None:
            watches.fired(kind, path)
            if kind == zk_classic.CHILDREN_CHANGED:
                if watches.may_list(path):
                    self._list_again(path)
                return
        self._tell(kind, path)

    def _list_again(self, path: bytes) -> None:
        """For a shard that still wants to know; what is new is told as events."""
        if self._sink_above(path + b"/") is not None:
            ops = [(zk_protocol.GET_CHILDREN, path)]
            self._read_plainly(ops, _unheard, None, 0, again=True)

    def _tell(self, kind: int, path: bytes) -> None:
        sink = self._sinks.get(path)
        if sink is None:
            sink = self._sink_above(path)
        if sink is not None:
            sink(kind, path)

    def _sink_above(self, path: bytes) -> zk_connection.Sink | None:
        sinks = self._sinks
        at = path.rfind(b"/")
        while at > 0:
            if (sink := sinks.get(path[:at])) is not None:
                return sink
            at = path.rfind(b"/", 0, at)
        return sinks.get(b"/")

    def _changed(self, client: zk_connection.Client, state: Any) -> None:
        if client is self._client and state != _STATES.CONNECTED:
            self._down_since = time.monotonic()
            self.trouble = self.trouble or f"connection {str(state).lower()}"
            self._turned(connected=False)

    def _turned(self, *, connected: bool) -> None:
        """Every connection is a new epoch, also of a session that lived on, or that the server
        silently replaced: watches and events in between are gone either way."""
        self.connected = connected
        if self._watches is not None:
            self._watches = zk_classic.Watches()
        self.epoch += 1
        for doubt in list(self._doubts.values()):
            doubt()

    # --- what the shards use -----------------------------------------------------------------

    def subscribe(self, root: bytes, sink: zk_connection.Sink, doubt: Callable[[], None]) -> None:
        """Events at or below `root` go to `sink`, a changed epoch to `doubt`; both only enqueue."""
        with self._lock:
            self._doubts[root] = doubt
            self._sinks = {**self._sinks, root: sink}

    def unsubscribe(self, root: bytes) -> None:
        with self._lock:
            self._doubts.pop(root, None)
            self._sinks = {path: sink for path, sink in self._sinks.items() if path != root}

    def negotiate(self) -> None:
        """Find out, once, how the servers want to be spoken to.

        :raises errors.ZooKeeperError: they do not say, or not as the settings want it.
        """
        if self.protocol is not None:
            return
        chosen = zk_choice.choose(self._settings)
        with self._lock:
            if chosen == zk_choice.CLASSIC and self._watches is None:
                self._watches = zk_classic.Watches()
            self.protocol = chosen

    def read(
        self,
        ops: Sequence[zk_protocol.Op],
        sink: ReplySink,
        tag: Any = None,
        *,
        known: bool = False,
        walks: bool = False,
    ) -> None:
        """Send one bulk read. The caller `take`s a permit for each data read first; they are given
        back when the reply is there. `known`: the sizes are known to be small, see `take`.
        `walks`: the caller goes on to list each node that has children."""
        permits = 0 if known else sum(1 for kind, _ in ops if kind == zk_protocol.GET_DATA)
        if self._watches is not None:
            self._read_plainly(ops, sink, tag, permits, walks=walks)
            return
        self._send(zk_protocol.MultiRead(ops), "multiread", sink, tag, permits)

    def _read_plainly(
        self,
        ops: Sequence[zk_protocol.Op],
        sink: ReplySink,
        tag: Any,
        permits: int,
        **how: bool,
    ) -> None:
        """:param how: `walks` and `again` of `zk_classic.Bulk`."""
        client, watches, roots = self._client, self._watches, frozenset(self._sinks)
        bulk = zk_classic.Bulk(
            ops,
            cast(zk_connection.Client, client),
            watches if roots else None,
            self._tell,
            self._instruments,
            roots=roots,
            **how,
        )
        pending = _Pending(self, bulk, "", sink, tag, permits)
        if client is None or not self.connected:
            pending.set_exception(kazoo.exceptions.ConnectionLoss())
        else:
            bulk.send(pending)

    def watch(self, root: bytes, sink: ReplySink) -> None:
        """Watch `root` and all below it: with one recursive watch; or, in the classic protocol,
        `root` itself, and the rest as it is read."""
        if self._watches is not None:
            self._send(zk_plain.Exists(root, watch=True), "exists", sink, None)
            return
        self._send(zk_protocol.AddWatch(root), "watch", sink, None)

    def sync(self, root: bytes, sink: ReplySink, tag: Any = None) -> None:
        self._send(zk_protocol.Sync(root), "", sink, tag)

    def _send(self, request: Any, op: str, sink: ReplySink, tag: Any, permits: int = 0) -> None:
        pending = _Pending(self, request, op, sink, tag, permits)
        client = self._client
        if client is None or not self.connected:
            # kazoo would queue it, and block after some 278 of them (tried).
            pending.set_exception(kazoo.exceptions.ConnectionLoss())
            return
        pending.client = client
        client.send(request, pending)

    def _answered(self, pending: _Pending, value: Any, error: BaseException | None) -> None:
        request = pending.request
        ops = getattr(request, "ops", ())
        if pending.permits:
            self.give(pending.permits)
        status = "success" if error is None else type(error).__name__
        if pending.op:
            self._instruments.zk_op(pending.op, status, time.monotonic() - pending.started)
        failure = _translate(error) if error is not None else None
        lowest = getattr(request, "lowest", request.zxid)
        if failure is None and lowest < self._floor:
            failure = errors.StaleRead(
                f"a ZooKeeper server answered at zxid {lowest:#x}, behind {self._floor:#x}"
            )
            self.drop(str(failure))
        pending.sink(Reply(ops, pending.tag, pending.epoch, request.zxid, value, failure))

    def take(self, wanted: int, *, live: bool, known: bool = False) -> int:
        """Permits for up to `wanted` reads, now; 0 means: ask again in a few milliseconds.

        :param known: the reads are known to be small, so only the configured rate bounds them.
        """
        with self._lock:
            if known:
                return self.rate.take(wanted, time.monotonic())
            granted = self.budget.take(wanted, live=live)
            allowed = self.rate.take(granted, time.monotonic())
            self.budget.give(granted - allowed)
            return allowed

    def give(self, unused: int) -> None:
        """Permits that were taken but not sent."""
        with self._lock:
            self.budget.give(unused)


def _unheard(_reply: Reply) -> None:
    """Nobody asked: what a listing shows is told as events, and a failure is the connection's."""


def _translate(error: BaseException) -> errors.ZooKeeperError:
    if isinstance(error, kazoo.exceptions.NoAuthError):
        return errors.ZooKeeperError("ZooKeeper denies the right to read")
    if isinstance(error, kazoo.exceptions.AuthFailedError):
        return errors.ZooKeeperError("ZooKeeper refused the credentials")
    return errors.SessionDoubt(f"the ZooKeeper session broke off ({type(error).__name__})")


def _security(settings: config.ZooKeeper) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.auth:
        options["auth_data"] = [(a.scheme, config.revealed(a.credentials)) for a in settings.auth]
    if settings.sasl is not None:
        options["sasl_options"] = {
            "mechanism": settings.sasl.mechanism,
            "username": settings.sasl.username,
            "password": config.revealed(settings.sasl.password),
        }
    return options


def _discard(client: zk_connection.Client) -> None:
    """Stop a client for good; kazoo's stop joins threads, so never from one of its callbacks."""
    try:
        client.stop()
        client.close()
    except Exception as error:
        _QUIET.debug("a discarded client did not close cleanly: %s", error)
    cast(Any, client).state_listeners.clear()
