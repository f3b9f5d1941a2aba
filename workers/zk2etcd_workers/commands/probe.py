"""The work behind `check`: what a mirror of this configuration would meet, found out beforehand.

Nothing is written on either side. Each finding is one line for a person, with the remedy if it is
not well; when one side cannot be reached, the other is looked at all the same.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Generator, Iterator, Sequence

from zk2etcd import errors, messages
from zk2etcd.config import models
from zk2etcd_workers.commands import (
    both_sides,
    finding,
    probe_cluster,
    probe_etcd,
    probe_history,
    probe_members,
    probe_patterns,
    probe_quota,
    probe_zookeeper,
)

Facts = Iterator[finding.Fact]


def facts(settings: models.Config, shards: Sequence[messages.Shard]) -> Facts:
    """Everything there is to say, ZooKeeper first, as it is found out. Raises no error of ours."""
    zookeeper, etcd = probe_zookeeper.SIDE, probe_etcd.SIDE
    with both_sides.Sides(settings, both_sides.identity("check")) as both:
        here = yield from _seen(zookeeper, _zookeeper(both, shards))
        there = yield from _seen(etcd, _etcd(both, shards))
        if here and there and both.session.connected:
            known = yield from _seen(zookeeper, probe_history.history(both, shards))
            if known:
                yield from _seen(etcd, probe_quota.facts(both, shards))


def _seen(side: finding.Side, looked: Facts) -> Generator[finding.Fact, None, bool]:
    """Pass the facts of a side on; False when it could not be reached to the end."""
    reached = True
    try:
        for fact in looked:
            reached = reached and not fact.unreachable
            yield fact
    except errors.Zk2EtcdError as error:
        yield side.fail(str(error), "the connection broke off: try again", unreachable=True)
        reached = False
    return reached


def _zookeeper(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> Facts:
    yield from probe_zookeeper.hosts(both.settings.zookeeper)
    session = probe_zookeeper.session(both)
    yield session
    if session.status == "FAIL":
        return
    yield from probe_zookeeper.protocol(both)
    for shard in _prefixes(shards):
        yield from probe_zookeeper.prefix(both, shard)
        yield from probe_patterns.facts(both, shard)


def _etcd(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> Facts:
    found = list(probe_etcd.endpoints(both.settings))
    answered = any(fact.status == "ok" for fact in found)
    for fact in found:
        # One that is away is a fault; only when all are, the side is.
        yield dataclasses.replace(fact, unreachable=fact.unreachable and not answered)
    if not answered:
        return
    with contextlib.suppress(errors.EtcdDenied):  # the rights are looked at by themselves
        cluster = list(probe_cluster.facts(both))
        yield from cluster
        if any(fact.status == "FAIL" for fact in cluster):
            return
        both.reach_etcd()
    ours = probe_etcd.state_rights(both)
    yield ours
    usable = []
    for shard in _prefixes(shards):
        target = probe_etcd.target_rights(both, shard)
        yield target
        if target.status == "ok":
            usable += [each for each in shards if each.target == shard.target]
    if usable:
        yield from probe_etcd.limits(both, usable[0])
    if ours.status == "ok":
        yield probe_etcd.lease(both)
        yield from probe_etcd.readable_format(both)
        yield from probe_members.facts(both, shards)
        for shard in usable:
            yield from probe_etcd.present(both, shard)


def _prefixes(shards: Sequence[messages.Shard]) -> list[messages.Shard]:
    """One shard of each prefix: what concerns all of its buckets is said once."""
    return [shard for shard in shards if shard.bucket == 0]
