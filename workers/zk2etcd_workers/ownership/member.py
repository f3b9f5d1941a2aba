"""`members/<instance>`: that a supervisor is there, also when it owns nothing and stands by.

It hangs on the lease of one of its workers. Whichever finds it absent puts it: when that worker
ends, the key goes with its lease, and another one of the same supervisor puts it back within a
third of the lease. So it is for people to read, and nothing is decided by it.
"""

from __future__ import annotations

import threading

from zk2etcd import errors, messages
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import formats, records


def document(identity: messages.Identity) -> bytes:
    """What the key says: who put it, and where the supervisor can be asked."""
    return records.encode(records.of_worker(identity))


class Membership:
    """Keeps the key there from a thread of its own, from `start` to `close`."""

    def __init__(
        self,
        client: etcd.Client,
        keys: records.Keys,
        lease: leases.Lease,
        identity: messages.Identity,
    ) -> None:
        self._client = client
        self._keys = keys
        self._lease = lease
        self._identity = identity
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="member", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Put it no more. The key goes with its lease."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._look()
            except errors.Zk2EtcdError as error:
                # The shards meet the same and report it.
                logger.get().debug("membership not written", error=str(error))
            self._stop.wait(self._lease.ttl / 3)

    def _look(self) -> None:
        key = self._keys.member(self._identity.instance)
        if self._client.range(key).kvs:
            return
        formatted = formats.ensure_format(self._client, self._keys)
        lease = self._lease.obtain()
        if self._stop.is_set():
            return
        absent = wire.Compare(key, "create", "=", 0)
        ours = wire.Compare(self._keys.format(), "mod", "=", formatted)
        put = wire.Put(key, document(self._identity), lease)
        self._client.txn(wire.Txn([absent, ours], [put]))
