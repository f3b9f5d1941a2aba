"""The link to ZooKeeper: one client of kazoo's, and another when that one is of no use any more.

It connects in the background, to servers at or above a floor, and says why none took it. Nothing
here knows what is asked over it.
"""

from __future__ import annotations

import abc
import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import kazoo.protocol.states

from zk2etcd import backoff, errors, metrics
from zk2etcd.config import connections, models
from zk2etcd_workers.zookeeper import connection
from zk2etcd_workers.zookeeper.servers import floors, protocol_choice, refusal

_STATES = kazoo.protocol.states.KazooState
_GOODBYE = 1.0
_TRY_AGAIN = 1.0
_DENIED = backoff.Backoff(minimum=0.5, maximum=10.0)
"""Between attempts while every server wants another login: seconds, doubled each time."""
_QUIET = logging.getLogger("kazoo.quiet")
# kazoo warns of each attempt that fails, for hours; a shard says it once, and status why.
_QUIET.setLevel(logging.ERROR)


class Link(abc.ABC):
    """A connection that comes back by itself. `epoch` changes with every connection and with every
    loss of one: work that began in another epoch is in doubt."""

    def __init__(
        self, settings: connections.ZooKeeper, instruments: metrics.Instruments, limit: int
    ) -> None:
        """:param limit: how many requests may be under way."""
        self._settings = settings
        self._limit = limit
        self._instruments = instruments
        self._lock = threading.Lock()
        self._client: connection.Client | None = None
        self._floors = floors.Floors()
        self._down_since = time.monotonic()
        self._closed = False
        self._refusals = refusal.Refusals(settings)
        self._choices = protocol_choice.Choices(settings)
        self._rng = random.Random()
        self.handshake = connection.HANDSHAKE
        self.epoch = 0
        self.connected = False
        self.trouble = "not connected yet"
        self.tells_watches: int | None = None
        """The epoch in which the server said of a watch of ours that it stands."""
        self._overdue = (-1, 0.0)
        self._fell: tuple[int, str] = (0, "")
        """The last epoch that ended because its server was put back, and the words for it."""

    def open(self, floor: int, shard: str = "", since: int = 0, *, asks: bool = True) -> None:
        """Connect in the background, to servers at or above `floor` only: for this one, and for
        others that share it as far as they want (`floors`). Safe to call again.

        :param since: etcd's revision of its last release, see `floors`.
        :param asks: it does; else it waits for a person, who is asked which server is right.
        :raises errors.ZooKeeperError: a package that the settings need is not installed.
        """
        change = self._floors.want if asks else self._floors.rest
        self._change(lambda: change(shard, floor, since))
        self._start()

    def _start(self) -> None:
        with self._lock:
            if self._client is None and not self._closed:
                self._client = self._new_client()
                self._down_since = time.monotonic()
                self._client.start_async()

    def idle(self, shard: str) -> None:
        """This one waits, for a person or for another owner, until it opens once more: it keeps
        nobody from servers that are behind what it wants."""
        self._change(lambda: self._floors.rest(shard))

    def lower(self, shard: str) -> None:
        """A person has said that for this one an ensemble behind what we saw is the right one."""
        self._change(lambda: self._floors.lower(shard))

    def forget(self, shard: str) -> None:
        """It is not ours any more."""
        self._change(lambda: self._floors.forget(shard))

    def _change(self, change: Callable[[], None]) -> None:
        """A client that has seen more than is wanted now is refused for ever: connect anew."""
        with self._lock:
            before = self._floors.highest
            change()
            if self._floors.highest >= before or self.connected:
                return
            self._refusals = refusal.Refusals(self._settings)
            client = self._client
        if client is not None:
            self._replace(client)

    def reaches(self, shard: str) -> bool:
        """The server that we are connected to has come to what this one wants."""
        client, floor = self._client, self._floors.of(shard)
        return client is not None and self.connected and client.last_zxid >= floor

    @property
    def is_wanted(self) -> bool:
        """Nobody opens it before a shard's floor is known."""
        return self._client is not None

    def all_behind(self, shard: str) -> bool:
        """Every host refused us since the last connection, each because it serves an ensemble
        that is behind what this one wants."""
        return self._refusals.all_behind(self._floors.of(shard), len(self._settings.hosts))

    @property
    def behind(self) -> dict[str, int]:
        """See `refusal.Refusals`."""
        return self._refusals.behind

    @property
    def is_denied(self) -> bool:
        """Every host that was tried since the last connection wants another login."""
        return self._refusals.all_deny

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
        # While there is no connection the client ends all requests; a late one goes with the next.
        oldest = client.oldest() if self.connected else None
        if oldest is not None and now - oldest > self._settings.request_timeout:
            self._overdue = (self.epoch, self._settings.request_timeout)
            self.drop(f"no answer within zookeeper.request_timeout, {self._overdue[1]:g} s")
        away = now - self._down_since
        patience = max(self._settings.session_timeout, self._settings.connect_timeout) + 1
        if self.is_denied:
            patience += _DENIED.maximum  # it rests
        if client.has_ended:
            patience = _TRY_AGAIN
        if not self.connected and away > patience:
            self._replace(client)

    def _replace(self, client: connection.Client) -> None:
        with self._lock:
            if self._client is not client or self._closed:
                return
            self._client = None
        if self.connected:  # It came about while it was given up.
            self._turned(connected=False)
        threading.Thread(target=_discard, args=(client,), daemon=True).start()
        self._start()

    def drop(self, why: str) -> None:
        """Break the connection: the server behind it cannot be trusted or does not answer."""
        self.trouble = why
        if self._client is not None:
            self._client.cut()

    def overdue(self, epoch: int) -> float | None:
        """After how many seconds we gave up this connection, since it did not answer; None if we
        did not."""
        ended, after = self._overdue
        return after if ended == epoch else None

    def _new_client(self) -> connection.Client:
        client = _made(self, self._settings, self._limit)
        client.add_listener(lambda state: self._changed(client, state))
        return client

    # --- called by the connection (its thread) -----------------------------------------------

    def floor(self) -> int:
        return self._floors.highest

    def rest(self) -> float:
        """Seconds to wait before all hosts are tried once more."""
        if not self.is_denied:
            return 0.0
        rounds = self._refusals.denials // len(self._settings.hosts)
        return _DENIED.delay(max(1, rounds), self._rng)

    def connecting(self) -> None:
        self._instruments.zk_connecting()

    def agree(self, host: str, ask: protocol_choice.Ask) -> protocol_choice.Choice:
        return self._choices.agree(host, ask)

    def established(self, client: connection.Client, choice: protocol_choice.Choice) -> None:
        if client is self._client:
            self._instruments.zk_connected()
            self.trouble = ""
            self._refusals = refusal.Refusals(self._settings)
            self._agreed(choice)
            self._turned(connected=True)
            if client is not self._client:
                self._turned(connected=False)  # It was given up while it came about.

    def fell(self, zxid: int, to: int) -> None:
        """The connection's answers went back from one zxid to a lower one."""
        self.trouble = (
            f"the ZooKeeper server was put back under our session: its answers went back from zxid "
            f"{zxid:#x} to {to:#x}"
        )
        self._fell = (self.epoch, self.trouble)

    def require(self, epoch: int | None) -> None:
        """This epoch goes on.

        :raises errors.PutBack: it has ended, since the server was put back.
        :raises errors.SessionDoubt: it has ended.
        """
        if epoch == self.epoch:
            return
        ended, why = self._fell
        if why and ended == epoch:
            raise errors.PutBack(why)
        raise errors.SessionDoubt(
            f"the ZooKeeper session changed ({self.trouble or 'reconnected'})"
        )

    def refused(self, host: str, error: BaseException, hung_up_at: int | None = None) -> None:
        """:param hung_up_at: the server closed the connection without a word, as it does to a
        client that has seen a later zxid than its own; the latest that ours has seen."""
        self._refusals.add(host, error, self._floors.highest, hung_up_at)
        self.trouble = str(self._refusals)

    def _changed(self, client: connection.Client, state: Any) -> None:
        if client is self._client and state != _STATES.CONNECTED:
            self._down_since = time.monotonic()
            self.trouble = self.trouble or f"connection {str(state).lower()}"
            self._turned(connected=False)

    @abc.abstractmethod
    def event(self, kind: int, path: bytes) -> None:
        """A watch has fired."""

    @abc.abstractmethod
    def _agreed(self, choice: protocol_choice.Choice) -> None:
        """How the connection that is about to come about is to be spoken to."""

    @abc.abstractmethod
    def _turned(self, *, connected: bool) -> None:
        """The connection came about, or was lost: `connected` and `epoch` change."""


def _made(
    owner: connection.Owner, settings: connections.ZooKeeper, limit: int
) -> connection.Client:
    """A client that is not started yet.

    :raises errors.ZooKeeperError: a package that the settings need is not installed.
    """
    if settings.sasl is not None and not connection.KNOWS_SASL:
        raise errors.ZooKeeperError(
            "zookeeper.sasl needs the package pure-sasl: pip install 'zk2etcd[sasl]'"
        )
    return connection.Client(
        owner,
        settings.connect_timeout,
        settings.tls,
        limit,
        hosts=",".join(settings.hosts),
        timeout=settings.session_timeout,
        logger=_QUIET,
        **_security(settings),
    )


def _security(settings: connections.ZooKeeper) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if settings.auth:
        options["auth_data"] = [(a.scheme, models.revealed(a.credentials)) for a in settings.auth]
    if settings.sasl is not None:
        options["sasl_options"] = {
            "mechanism": settings.sasl.mechanism,
            "username": settings.sasl.username,
            "password": models.revealed(settings.sasl.password),
        }
    return options


def _discard(client: connection.Client) -> None:
    """Stop a client for good; kazoo's stop joins threads, so never from one of its callbacks."""
    try:
        client.stop()
        client.close()
    except Exception as error:
        _QUIET.debug("a discarded client did not close cleanly: %s", error)
    cast(Any, client).state_listeners.clear()
