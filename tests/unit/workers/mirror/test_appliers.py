"""Who writes for a shard."""

from __future__ import annotations

from typing import cast

from zk2etcd import metrics
from zk2etcd.config import connections
from zk2etcd_workers.etcd import client, limits
from zk2etcd_workers.mirror import appliers
from zk2etcd_workers.model import plan
from zk2etcd_workers.ownership import fence
from zk2etcd_workers.shard import apply


class Silent:
    """In the place of a client that nothing is asked of, and of a fence that nobody needs."""

    learned = limits.Learned(connections.Etcd())

    def take(self, wanted: int) -> int:
        return wanted


def test_a_dry_run_sends_nothing() -> None:
    acks: list[apply.Ack] = []
    dry = appliers.DryApplier(
        cast(client.Client, Silent()),
        cast(fence.Fence, Silent()),
        b"zk2etcd/checkpoints/s",
        connections.Etcd(),
        metrics.null(),
        acks.append,
        lambda path: (path, path),
    )
    writes = [plan.Write(b"/s/%d" % at, b"", b"/s/%d" % at, at) for at in range(3)]
    writes.append(plan.Write(b"/s/9", None, b"/s/9", 9))
    for write in writes:
        dry.add(write)
    assert dry.flush()
    assert list(dry.settle(acks.pop()).done) == writes
    dry.guarded([writes[0]])
    assert list(dry.settle(acks.pop()).done) == [writes[0]]
