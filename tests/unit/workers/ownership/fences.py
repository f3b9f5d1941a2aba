"""A fence without an etcd, for what it would write."""

from __future__ import annotations

from zk2etcd import messages, metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.ownership import fence, records


def of(shard: messages.Shard) -> fence.Fence:
    client = clients.Client(connections.Etcd(), metrics.null())
    identity = messages.Identity("host-1a2b3c4d", "w0", 2, "http://127.0.0.1:9180")
    keys = records.Keys("zk2etcd/default")
    return fence.Fence(client, keys, leases.Lease(client, 10.0), identity, shard)
