"""Both servers as one command needs them: a session and a client of its own, for a few minutes.

A mirror waits for servers that are away. A person at a terminal wants to hear of it: so here every
wait has an end, and the error names the server and what to do about it.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable
from typing import TypeVar

from zk2etcd import errors, messages, metrics
from zk2etcd.config import models
from zk2etcd_workers import heap, turn
from zk2etcd_workers.belonging import marks
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.model import mapping, pacing
from zk2etcd_workers.ownership import fence, formats, reads, records
from zk2etcd_workers.shard import context
from zk2etcd_workers.zookeeper import reply as replies, session as sessions

_ATTEMPTS_A_HOST = 3
_LONGEST_WAIT = 30.0
_TENDED = 0.5
_TRIES = 3
# What kazoo says of a connection stands in the session's `trouble`; a terminal needs it once.
logging.getLogger("kazoo").addHandler(logging.NullHandler())

T = TypeVar("T")


class Silent:
    """A log that says nothing: what a command finds it prints itself."""

    def _say(self, event: str, **context: object) -> None:
        """Nothing."""

    debug = info = warning = error = exception = _say


class _Attempts(metrics.Instruments):
    """Counts the connections to ZooKeeper that were tried."""

    tried = 0

    def zk_connecting(self) -> None:
        self.tried += 1


def identity(slot: str) -> messages.Identity:
    """Who a command is in owner keys: an instance of its own, that nobody can ask anything."""
    return messages.Identity(f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}", slot, 1)


class Sides:
    """A session and a client, made at once and connected by `reach`. Use it in a `with`."""

    def __init__(self, settings: models.Config, who: messages.Identity) -> None:
        heap.settle()
        self.settings = settings
        self._who = who
        self._attempts = _Attempts()
        self.session = sessions.Session(settings.zookeeper, self._attempts)
        home = records.Keys(settings.state.prefix).home()
        self.client = etcd.Client(settings.etcd, metrics.null(), home)
        self._lease = leases.Lease(self.client, settings.state.lease_ttl)
        self._closed = threading.Event()

    def __enter__(self) -> Sides:
        threading.Thread(target=self._tend, name="tend", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._lease.close()
        self.session.close()
        self.client.close()

    def _tend(self) -> None:
        while not self._closed.wait(_TENDED):
            self.session.tend(time.monotonic())

    # --- reaching them -----------------------------------------------------------------------

    def reach(self) -> None:
        """Return when both sides answer.

        :raises errors.Unreachable: one does not; `errors.EtcdDenied`: etcd refuses us.
        :raises errors.NewerReader: a newer release has our keys in etcd.
        """
        self.reach_etcd()
        formats.require_reader(self.client, records.Keys(self.settings.state.prefix))
        self.reach_zookeeper()

    def reach_etcd(self) -> None:
        """One of the endpoints answers a read; the client stays with it."""
        settings = self.settings.etcd
        for left in reversed(range(len(settings.endpoints))):
            try:
                self.client.range(records.Keys(self.settings.state.prefix).format())
            except (errors.EtcdUnavailable, errors.UnfitMember) as error:
                if left == 0:
                    raise errors.Unreachable(
                        f"{error}; is it running, and right in etcd.endpoints "
                        f"({', '.join(settings.endpoints)})?"
                    ) from error
            else:
                return

    def reach_zookeeper(self, floor: int = 0) -> None:
        """A session stands, on a server at or above `floor`.

        Given up after a few attempts a host, or when the time for a connection to each is over.
        """
        settings, session = self.settings.zookeeper, self.session
        session.open(floor)
        started = time.monotonic()
        wait = min(settings.connect_timeout * len(settings.hosts), _LONGEST_WAIT) + 1.0
        while not session.connected:
            refused = self._attempts.tried > _ATTEMPTS_A_HOST * len(settings.hosts)
            if refused or self._is_denied() or time.monotonic() - started > wait:
                raise errors.Unreachable(self._no_session())
            time.sleep(0.02)

    def _is_denied(self) -> bool:
        return self.session.is_denied

    def _no_session(self) -> str:
        hosts = ", ".join(self.settings.zookeeper.hosts)
        remedy = "; is it running, and right in zookeeper.hosts?"
        if self._is_denied():
            remedy = ""
        return f"no session with ZooKeeper at {hosts}: {self.session.trouble}{remedy}"

    # --- working with them -------------------------------------------------------------------

    def context(self, shard: messages.Shard, released: int | None = None) -> context.Context:
        """What the engine's parts work with; owned only after a claim of its fence.

        :param released: deletes that a person allowed, for this one run.
        """
        settings = self.settings
        keys = records.Keys(settings.state.prefix)
        return context.Context(
            shard=shard,
            mapping=mapping.Mapping.of(shard),
            config=settings,
            session=self.session,
            etcd=self.client,
            reads=reads.Reads(self.client),
            fence=fence.Fence(self.client, keys, self._lease, self._who, shard),
            keys=keys,
            marks=marks.of(keys.owned(shard), shard),
            instruments=metrics.null(),
            turn=turn.Turn(),
            log=Silent(),
            released=released,
        )

    def ask(self, send: Callable[[replies.ReplySink], None]) -> replies.Reply:
        """Send one request to ZooKeeper and wait for its reply, whose `error` is the caller's."""
        answers: queue.SimpleQueue[replies.Reply] = queue.SimpleQueue()
        send(answers.put)
        try:
            return answers.get(timeout=self.settings.zookeeper.request_timeout + 1.0)
        except queue.Empty:
            raise errors.SessionDoubt("ZooKeeper did not answer") from None

    def answer(self, send: Callable[[replies.ReplySink], None]) -> replies.Reply:
        """Like `ask`, for a request that has to succeed.

        :raises errors.ZooKeeperError: it did not.
        """
        reply = self.ask(send)
        if reply.error is not None:
            raise reply.error
        return reply

    def sync(self, root: bytes) -> int:
        """Have our server catch up with the ensemble's leader, so that reads are not of the past;
        the latest zxid.

        :raises errors.ZooKeeperError: it did not answer.
        """
        return self.answer(lambda sink: self.session.sync(root, sink)).zxid


def attempt(settings: models.Config, who: messages.Identity, work: Callable[[Sides], T]) -> T:
    """`work` on both sides; once more with new connections when they broke off under it.

    :raises errors.Unreachable: a side does not answer, or broke off each time.
    """
    learnt = pacing.RequestSize()
    for left in reversed(range(_TRIES)):
        with Sides(settings, who) as sides:
            sides.session.request_size = learnt
            try:
                sides.reach()
                return work(sides)
            except errors.Zk2EtcdError as error:
                if not _is_passing(error):
                    raise
                if left == 0:
                    raise errors.Unreachable(_gave_up(error)) from error
    raise AssertionError("unreachable")


def _gave_up(error: errors.Zk2EtcdError) -> str:
    if isinstance(error, errors.StaleRead):
        return f"{error}: it was wiped, restored or replaced, and is not trusted"
    return f"gave up after {_TRIES} attempts: {error}"


def _is_passing(error: errors.Zk2EtcdError) -> bool:
    """A new connection may help."""
    lost = isinstance(error, errors.EtcdUnavailable | errors.UnfitMember)
    return lost or error.reaction is errors.Reaction.RESYNC
