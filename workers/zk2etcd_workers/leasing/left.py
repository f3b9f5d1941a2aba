"""Owner keys of shards that this worker has left, and that are there all the same.

They hang on the lease of the whole worker, which its other shards keep alive: nobody could take
those shards, for as long as the worker lives. Either etcd did not answer when they were left, or it
was put back to when they were not yet. So what hangs on the lease is looked at each time it is
renewed, and what is left over is deleted as soon as etcd answers.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.leasing import leases


class Left:
    """What was put there tells them from what is put later: no two puts of a worker are alike."""

    def __init__(self, client: etcd.Client, lease: leases.Lease, owners: bytes) -> None:
        """:param owners: what the names of owner keys begin with."""
        self._client = client
        self._lease = lease
        self._owners = owners
        self._lock = threading.Lock()
        self._documents: dict[bytes, bytes] = {}
        self._ours: set[bytes] = set()
        self._began = False
        """Something was to hang on the lease: of a worker without a shard nothing is asked."""
        self._told: dict[bytes, int] = {}

    def add(self, key: bytes, document: bytes) -> None:
        """An owner key was not deleted, and holds this if it holds anything of ours."""
        with self._lock:
            self._documents[key] = document

    def taken(self, key: bytes) -> None:
        """The shard is about to be taken, perhaps again."""
        with self._lock:
            self._ours.add(key)
            self._began = True
            self._documents.pop(key, None)
            self._told.pop(key, None)

    def released(self, key: bytes) -> None:
        """The shard is not ours any more; its key is deleted, as far as we know."""
        with self._lock:
            self._ours.discard(key)

    def told(self, key: bytes, revision: int) -> None:
        """etcd has said that the key is not ours, at that revision; 0: it never was."""
        with self._lock:
            if key not in self._ours:
                self._told[key] = revision

    def let_go(self) -> dict[str, int]:
        """The shards of which that was said since the last call, each with the revision."""
        with self._lock:
            told, self._told = self._told, {}
        return {key[len(self._owners) :].decode(): revision for key, revision in told.items()}

    def look(self) -> None:
        """Delete what is there again, and try once more what could not be deleted."""
        if not self._began:
            return
        hung = [key for key in self._lease.hung_on() if key.startswith(self._owners)]
        with self._lock:
            stray = [key for key in hung if key not in self._ours]
        found = self._found(stray) if stray else ()
        # One that was just released may have been taken by another worker before it was looked up.
        still = frozenset(self._lease.hung_on()) if found else ()
        for kv in found:
            # Who takes it from now on puts another document, which stays.
            if kv.key in still and kv.key not in self._ours:
                logger.get().warning("owner key is there again: deleted", key=kv.key.decode())
                self.add(kv.key, kv.value)
        self._again()

    def _found(self, keys: Sequence[bytes]) -> Sequence[wire.Present]:
        try:
            found = self._client.lookup(keys)
        except errors.EtcdError:
            return ()
        return [kv for kv in found if kv is not None]

    def _again(self) -> None:
        with self._lock:
            left = list(self._documents.items())
        for key, document in left:
            same = wire.Compare(key, "value", "=", document)
            done = functools.partial(self._answered, key, document)
            self._client.txn_soon(wire.Txn([same], [wire.Delete(key)]), done)

    def _answered(
        self,
        key: bytes,
        document: bytes,
        answer: wire.Answer | None,
        _error: errors.EtcdError | None,
    ) -> None:
        if answer is None:
            return
        with self._lock:
            if self._documents.get(key) == document:
                del self._documents[key]
                self._told[key] = answer.revision
