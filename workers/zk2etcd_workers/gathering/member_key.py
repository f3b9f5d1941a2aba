"""Our key among the members: what it says, when it is put, and when it must not be there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from zk2etcd import errors, messages
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.gathering import configs, documents, table
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import formats, records

_PUT_EVERY = 1.0
"""Seconds between two puts, but for what is urgent: that we drain, or are there at all."""
_DOWN = 2.0
"""Seconds without a session with ZooKeeper before that is said."""


class MemberKey:
    """Kept by one thread; `hears` may be called from others."""

    def __init__(
        self,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        identity: messages.Identity,
        shards: configs.Configs,
        connected: Callable[[], bool],
    ) -> None:
        self._client = client
        self._key = keys.member(identity.instance)
        self._keys = keys
        self._lease = lease
        self._identity = identity
        self._configs = shards
        self._connected = connected
        self._lock = threading.Lock()
        self._standing: messages.Standing | None = None
        self._heard_at = time.monotonic()
        self._silent = False
        self._up_at: float | None = None
        self._formatted = 0
        self._listed: tuple[frozenset[str], bytes] | None = None
        self._put: tuple[bytes, int, int] | None = None
        """What we put last, under which lease, and at which revision."""
        self._put_at = 0.0
        self.closed = False
        """Put it no more: the lease is about to end, too."""

    def hears(self, standing: messages.Standing) -> None:
        """What it shall say; and the supervisor lives."""
        with self._lock:
            self._standing, self._heard_at = standing, time.monotonic()

    def stood_still(self, seconds: float) -> None:
        """This process did; what the supervisor said meanwhile is still to be heard."""
        with self._lock:
            self._heard_at += seconds

    def forget(self) -> None:
        """etcd was put back: nothing is known of what it has."""
        self._put, self._listed, self._formatted = None, None, 0

    def guarded(self, txn: wire.Txn) -> wire.Txn:
        """The same, for our cluster only."""
        ours = wire.Compare(self._keys.format(), "mod", "=", self._formatted)
        return txn._replace(compare=[ours, *txn.compare])

    def tend(self, now: float, known: table.Table) -> None:
        """Have it there as it should be.

        :raises errors.EtcdError: it may not be.
        """
        healthy = self._healthy(now)
        with self._lock:
            standing, silence = self._standing, now - self._heard_at
        if standing is None:
            return
        if silence > self._lease.ttl:
            self._leave(silence)
            return
        self._silent = False
        self._have(standing, healthy, now, known)

    def _healthy(self, now: float) -> bool:
        if self._connected():
            self._up_at = now
        return self._up_at is not None and now - self._up_at < _DOWN

    def _leave(self, silence: float) -> None:
        """Others shall not count on us: the supervisor does nothing."""
        if not self._silent:
            self._silent = True
            self._formatted = self._formatted or formats.ensure_format(self._client, self._keys)
            logger.get().warning(
                "the supervisor gives no sign: its key among the members is deleted",
                seconds=round(silence, 1),
            )
        if self._put is not None:
            _, _, revision = self._put
            same = wire.Compare(self._key, "mod", "=", revision)
            self._client.txn(self.guarded(wire.Txn([same], [wire.Delete(self._key)])))
            self._put = None

    def _have(
        self, standing: messages.Standing, healthy: bool, now: float, known: table.Table
    ) -> None:
        lease = self._lease.obtain()
        if self.closed:
            return
        wanted = documents.member(
            self._identity, standing, documents.digest(standing.member.shards), healthy=healthy
        )
        if self._is_there(wanted, lease, known):
            return
        urgent = self._put is None or (standing.member.draining and self._drains_not_yet())
        if now - self._put_at < _PUT_EVERY and not urgent:
            return
        self._put_at = now
        self._write(standing, wanted, lease)

    def _is_there(self, wanted: bytes, lease: int, known: table.Table) -> bool:
        if self._put is None:
            return False
        value, under, revision = self._put
        entry = known.entry(self._key)
        if known.revision >= revision and (entry is None or entry.revision != revision):
            # Gone with a lease, or another keeper's of our own supervisor that ends by now.
            self._put = None
            return False
        return (value, under) == (wanted, lease)

    def _drains_not_yet(self) -> bool:
        said = documents.said(self._put[0], self._key) if self._put is not None else {}
        return not said.get("draining")

    def _write(self, standing: messages.Standing, wanted: bytes, lease: int) -> None:
        self._formatted = self._formatted or formats.ensure_format(self._client, self._keys)
        shards = standing.member.shards
        if self._listed is None or self._listed[0] != shards:
            self._listed = shards, self._configs.ensure(shards)
        listed = wire.Compare(self._listed[1], "create", ">", 0)
        put = wire.Put(self._key, wanted, lease)
        try:
            answer = self._client.txn(self.guarded(wire.Txn([listed], [put])))
        except errors.LeaseGone:
            self._lease.is_gone(lease)
            raise
        if answer.succeeded:
            self._put = wanted, lease, answer.revision
        else:  # the list was deleted meanwhile, or etcd is another one
            self._listed, self._formatted = None, 0
