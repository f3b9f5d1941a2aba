"""Owner keys of shards that this worker has left, while etcd did not answer.

They hang on the lease of the whole worker, which its other shards keep alive: nobody could take
those shards, for as long as the worker lives. So they are deleted as soon as etcd answers.
"""

from __future__ import annotations

import functools
import threading

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, wire


class Left:
    """What was put there tells them from what is put later: no two puts of a worker are alike."""

    def __init__(self, client: etcd.Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._documents: dict[bytes, bytes] = {}

    def add(self, key: bytes, document: bytes) -> None:
        """An owner key was not deleted, and holds this if it holds anything of ours."""
        with self._lock:
            self._documents[key] = document

    def forget(self, key: bytes) -> None:
        """The shard is about to be taken again."""
        with self._lock:
            self._documents.pop(key, None)

    def again(self) -> None:
        """Try each once more, without waiting."""
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
