"""A keeper of the census, as a worker has it, without ZooKeeper; also as a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable

from tests.integration import etcd_clients
from zk2etcd import census, messages
from zk2etcd_workers.gathering import keeper
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import records


def standing(name: str, shards: Iterable[str]) -> messages.Standing:
    """A supervisor that shares these."""
    return messages.Standing(census.Member(name, frozenset(shards), 2), "0" * 12, "1.2")


class Kept:
    """The keeper `name`, its client and lease; `told` are its censuses."""

    def __init__(self, url: str, prefix: str, name: str, ttl: float) -> None:
        self.name = name
        self.keys = records.Keys(f"zk2etcd{prefix}")
        self.client = etcd_clients.at([url])
        self.lease = leases.Lease(self.client, ttl)
        self.connected = True
        self.told: list[census.Census] = []
        self.reads = 0
        """How many reads these are of: each has a moment of its own."""
        self._at = 0.0
        identity = messages.Identity(name, "w0", 1, "http://127.0.0.1:9180")
        self.keeper = keeper.Keeper(
            self.client,
            self.keys,
            self.lease,
            identity,
            lambda: self.connected,
            self._gathered,
        )
        self.keeper.start()

    def _gathered(self, found: census.Census, at: float) -> None:
        self.told.append(found)
        if at != self._at:
            self._at = at
            self.reads += 1

    @property
    def last(self) -> census.Census | None:
        return self.told[-1] if self.told else None

    def last_owner(self, shard: str) -> int:
        """Its token."""
        return self.told[-1].owners[shard].token

    def hangs_on(self, key: bytes) -> int:
        """The lease of a key, 0 if it is not there."""
        return sum(int(kv.lease) for kv in self.client.range(key).reply.kvs)

    def dies(self) -> None:
        """Its keeper ends; all that it put stays."""
        self.keeper.close()

    def close(self) -> None:
        self.keeper.close()
        self.lease.close()
        self.client.close()


def main(url: str, prefix: str, name: str, ttl: str) -> None:
    """Until it is killed."""
    kept = Kept(url, prefix, name, float(ttl))
    while True:
        kept.keeper.hears(standing(name, "abc"))
        time.sleep(0.1)


if __name__ == "__main__":
    main(*sys.argv[1:])
