"""The lease of a worker, on which all its owner keys hang, and how it is kept.

What counts is what etcd answered: the TTL that is left, never that it answered at all. `etcd
grpc-proxy` with logins passes a keepalive on without its login, which members refuse since 3.4.42,
3.5.28 and 3.6.9; it then answers, late, the TTL that is left (server/proxy/grpcproxy/lease.go).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd

WRITABLE = 2 / 3
"""The part of the TTL after which a shard stops writing by itself."""
_DOUBTFUL = 2
"""So many renewals in a row that came to nothing, though etcd answers, are no accident."""

_LOOK_EVERY = 2.0
"""Seconds at most from one renewal to the next: what hangs on the lease is looked at then."""


class Lease:
    """A worker's lease, renewed by a thread of its own. Its age counts from the *sending* of the
    last keepalive that succeeded, on the monotonic clock."""

    def __init__(self, client: etcd.Client, ttl: float) -> None:
        self._client = client
        self._wanted = max(2, math.ceil(ttl))
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._id = 0
        self._renewed = 0.0
        self._in_vain = 0
        self._also: list[Callable[[], None]] = []
        self.ttl = float(self._wanted)

    def obtain(self) -> int:
        """The lease's id, never 0; a new one is granted if there is none, it was lost, or cannot
        be renewed."""
        with self._lock:
            if self._id and self._is_worn():
                # etcd was away; what follows is a write, which need not wait for the thread.
                self._renew(self._id)
                if self._is_worn() and self._in_vain:
                    self._id = 0
            # The thread may find the lease gone at any time and set the id to 0; a key that is put
            # without a lease would keep the shard from everybody, for ever.
            lease = self._id
            if lease == 0:
                sent = time.monotonic()
                lease, granted = self._client.grant(self._wanted)
                self._id, self.ttl, self._renewed = lease, float(granted), sent
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
                self._thread.start()
            return lease

    def each_time(self, also: Callable[[], None]) -> None:
        """Call this after each renewal; it must not wait for long."""
        self._also.append(also)

    def hung_on(self) -> Sequence[bytes]:
        """The keys that hang on it, right after a renewal; none where that is in doubt."""
        if not self._id or self.age() > self.ttl / 5:
            return ()
        try:
            return self._client.ttl(self._id, self.ttl / 6)[1]
        except errors.EtcdError:
            return ()

    def age(self) -> float:
        return time.monotonic() - self._renewed

    def check(self) -> None:
        """:raises errors.LeaseDoubt: others may be about to take over; do not write."""
        if self._id == 0 or self._is_worn():
            why = f": {self._trouble()}" if self._in_vain >= _DOUBTFUL else ""
            raise errors.LeaseDoubt(f"the lease in etcd was not renewed in time{why}")

    def is_gone(self, lease: int) -> None:
        """etcd does not know it any more; the next shard that needs one is granted a new one."""
        if self._id == lease:
            self._id = 0
            logger.get().warning("lease gone: a new one is taken", lease=f"{lease:x}")

    def close(self) -> None:
        """Stop renewing, and give the lease back if etcd answers."""
        self._stop.set()
        lease, self._id = self._id, 0
        if lease:
            try:
                self._client.revoke(lease)
            except errors.EtcdError as error:
                logger.get().debug("lease not revoked", error=str(error))

    def _is_worn(self) -> bool:
        return self.age() > self.ttl * WRITABLE

    def _run(self) -> None:
        while not self._stop.wait(min(self.ttl / 5, _LOOK_EVERY)):
            lease = self._id
            if lease:
                self._renew(lease)
            for also in self._also:
                also()

    def _renew(self, lease: int) -> None:
        sent = time.monotonic()
        try:
            self._client.authenticate(older_than=150.0)
            left = self._client.keep_alive(lease, self.ttl / 6)
        except errors.EtcdError:
            # Never passed on, perhaps, by a proxy that answers all else.
            try:
                sent = time.monotonic()
                left, _ = self._client.ttl(lease, self.ttl / 6)
            except errors.EtcdError:
                return
        self._told(lease, left, sent)

    def _told(self, lease: int, left: int, sent: float) -> None:
        """etcd said, to a question sent then, that so many seconds are left."""
        if left <= 0:
            self.is_gone(lease)
        elif self._id == lease:
            # Not more than that is believed, and nothing that was known is forgotten.
            self._renewed = max(self._renewed, sent - max(0.0, self.ttl - left))
            self._in_vain = 0 if left >= self.ttl else self._in_vain + 1
            if self._in_vain == _DOUBTFUL:
                logger.get().warning("lease not renewed", error=self._trouble(), left=left)

    def _trouble(self) -> str:
        return (
            f"etcd {self._client.endpoint} answers, but renews no lease. Is it an etcd grpc-proxy, "
            "with logins? It cannot since etcd 3.4.42, 3.5.28 and 3.6.9: name the members "
            "themselves in etcd.endpoints"
        )
