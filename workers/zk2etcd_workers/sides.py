"""A worker's connections to both sides, and what all its shards share over them.

They are made anew, whole, when a reload changes what they were made of.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zk2etcd import cpus, messages, metrics
from zk2etcd.config import models
from zk2etcd_workers import turn
from zk2etcd_workers.belonging import marks
from zk2etcd_workers.drift import watcher
from zk2etcd_workers.etcd import client as etcd
from zk2etcd_workers.gathering import desk, reach
from zk2etcd_workers.leasing import leases
from zk2etcd_workers.model import mapping
from zk2etcd_workers.ownership import fence, member, reads, records
from zk2etcd_workers.rounds import rounds
from zk2etcd_workers.shard import context
from zk2etcd_workers.walk import glance, oldest, shelf
from zk2etcd_workers.zookeeper import session as sessions


class Sides:
    """The connections, made for one set of connection settings."""

    def __init__(
        self,
        settings: models.Config,
        spec: messages.WorkerSpec,
        instruments: metrics.Instruments,
        cluster: str,
    ) -> None:
        """:param cluster: the id of the etcd cluster that these endpoints are known to be of."""
        self.settings = settings
        workers = settings.workers.number(cpus.usable)
        self.session = sessions.Session(settings.zookeeper, instruments, workers)
        if spec.identity.incarnation > 1:
            # The one before ended, perhaps of too much memory under a walk that trusted.
            self.session.may_trust = False
        self.keys = keys = records.Keys(settings.state.prefix)
        self.client = etcd.Client(settings.etcd, instruments, keys.home(cluster))
        self.reads = reads.Reads(self.client)
        self.lease = leases.Lease(self.client, settings.state.lease_ttl)
        self.shared = fence.Shared(self.client, keys, self.lease)
        self.oldest = oldest.Oldest()
        self.shelves = shelf.Shelves(self.client)
        self.glances = glance.Glances(self.session, settings.zookeeper)
        self.rounds = rounds.Rounds(
            self.session, self.client, keys, self.lease, settings.zookeeper.request_timeout
        )
        self.strangers = watcher.Watcher(self.client, keys.format())
        self._reach = reach.Reach(settings.zookeeper, settings.state.lease_ttl)
        self._member = member.Membership(self.client, keys, self.lease, spec.identity)
        if not spec.dry_run and not spec.shares:  # then it is a keeper's
            self._member.start()

    def context(
        self,
        shard: messages.Shard,
        target: messages.Assign,
        spec: messages.WorkerSpec,
        instruments: metrics.Instruments,
        log: Any,
    ) -> context.Context:
        """What the mirror of this shard works with, as it shall be."""
        keys, client = records.Keys(target.config.state.prefix), self.client
        owned = fence.Fence(client, keys, self.lease, spec.identity, shard, self.shared)
        return context.Context(
            shard=shard,
            mapping=mapping.Mapping.of(shard),
            config=target.config,
            session=self.session,
            etcd=client,
            reads=self.reads,
            fence=owned,
            keys=keys,
            marks=marks.of(keys.owned(shard), shard),
            instruments=instruments,
            turn=turn.Turn(),
            log=log,
            dry_run=spec.dry_run,
            oldest=self.oldest,
            siblings=mapping.siblings(shard, target.shards),
            shelves=self.shelves,
            glances=self.glances,
            shares=spec.shares,
        )

    def keep(self, census: desk.Desk, keeps: bool) -> None:
        """This worker keeps the census over these connections, or does not."""
        if keeps:
            census.begin(self.client, self.keys, self.lease, self._serves)
        else:
            census.end()

    def _serves(self) -> bool:
        """Whether ZooKeeper serves us: by our session, or, without a shard, by asking."""
        return self.session.connected if self.session.is_wanted else self._reach.is_there()

    def narrow(self) -> Mapping[str, int] | None:
        """The lines that were found to carry little, and how many bytes each carries at once."""
        learned = self.client.learned
        lines = {
            "etcd_read": learned.down,
            "etcd_write": learned.up,
            "zookeeper_read": self.session.line,
        }
        return {name: room for name, each in lines.items() if (room := each.narrow)} or None

    def fits(self, settings: models.Config) -> bool:
        mine = self.settings
        return (mine.zookeeper, mine.etcd, mine.state) == (
            settings.zookeeper,
            settings.etcd,
            settings.state,
        )

    def close(self) -> None:
        self._member.close()
        self.rounds.close()
        self.strangers.close()
        self.lease.close()
        self.session.close()
        self.client.close()
