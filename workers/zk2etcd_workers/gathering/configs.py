"""`configs/<digest>`: which shards a member can serve, said once for all who can serve the same.

What is there never changes. It is put before the member key that names it, and deleted by anybody
once no member has named it for a while.
"""

from __future__ import annotations

from collections.abc import Collection

from zk2etcd import errors
from zk2etcd.logs import logger
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.gathering import documents
from zk2etcd_workers.ownership import records

_MOST = 64
"""Digests that are remembered."""
_AGAIN = 1.0
"""Seconds until one that could not be read is asked for again."""


class Configs:
    def __init__(self, client: etcd.Client, keys: records.Keys) -> None:
        self._client = client
        self._keys = keys
        self._known: dict[str, frozenset[str]] = {}
        self._missing: dict[str, float] = {}
        self._unnamed: dict[bytes, float] = {}

    def ensure(self, shards: frozenset[str]) -> bytes:
        """Have it there that a member can serve these; the key whose being there says so.

        :raises errors.EtcdError: it may not be there.
        """
        digest = documents.digest(shards)
        first = self._keys.config(digest)
        values = documents.parts(shards)
        named = [first, *(first + b"/%d" % number for number in range(1, len(values)))]
        # The first comes last: once it is there, all are.
        for key, value in reversed(list(zip(named, values, strict=True))):
            absent = wire.Compare(key, "create", "=", 0)
            self._client.txn(wire.Txn([absent], [wire.Put(key, value)]))
        self._known[digest] = shards
        return first

    def learn(self, digests: Collection[str], now: float) -> None:
        """Read what is not known yet.

        :raises errors.EtcdError: etcd did not answer.
        """
        self._missing = {each: at for each, at in self._missing.items() if now - at < _AGAIN}
        for digest in digests:
            if digest in self._known or digest in self._missing:
                continue
            if (found := self._read(digest)) is None:
                self._missing[digest] = now
                continue
            if len(self._known) >= _MOST:
                # Not those that are named: their members would have nothing for a moment.
                self._known = {d: known for d, known in self._known.items() if d in digests}
            self._known[digest] = found

    def shards(self, digest: str) -> frozenset[str]:
        """What that member can serve; nothing, if it cannot be read."""
        return self._known.get(digest, frozenset())

    def sweep(self, named: Collection[str], now: float, after: float) -> None:
        """Delete what no member has named for so many seconds.

        :raises errors.EtcdError: etcd did not answer.
        """
        start, end = self._keys.all_of("configs")
        ours = [self._keys.config(digest) for digest in named]
        found = self._client.range(start, end, keys_only=True).kvs
        old = [kv for kv in found if not any(kv.key.startswith(key) for key in ours)]
        self._unnamed = {kv.key: self._unnamed.get(kv.key, now) for kv in old}
        for kv in old:
            if self._unnamed[kv.key] <= now - after:
                same = wire.Compare(kv.key, "mod", "=", kv.revision)
                self._client.txn(wire.Txn([same], [wire.Delete(kv.key)]))
                key = kv.key.decode(errors="replace")
                logger.get().debug("list of shards deleted: no member has it", key=key)

    def _read(self, digest: str) -> frozenset[str] | None:
        key = self._keys.config(digest)
        found = self._client.range(key, key + b"0").kvs
        try:
            shards = documents.listed((kv.value for kv in found), key)
        except errors.NewerFormat:
            return None
        return shards if documents.digest(shards) == digest else None
