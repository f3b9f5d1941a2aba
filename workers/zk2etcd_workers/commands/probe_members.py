"""What `check` says of the supervisors of this state prefix: who is there, what each has, and what
about one of them is not as it should be beside the others, or beside this configuration."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zk2etcd import messages, text, version
from zk2etcd.config import models, sharing
from zk2etcd_workers.commands import both_sides, finding
from zk2etcd_workers.gathering import documents
from zk2etcd_workers.ownership import records

SIDE = finding.Side("etcd")
_NAMED = 5

Said = Mapping[str, Any]


def facts(both: both_sides.Sides, shards: Sequence[messages.Shard]) -> Iterator[finding.Fact]:
    """The supervisors, then how the shards are spread over those that share.

    :raises errors.EtcdError: etcd did not answer.
    """
    keys = records.Keys(both.settings.state.prefix)
    start, end = keys.all_of("owners")
    owners = {
        kv.key[len(start) :].decode("utf-8", "replace"): documents.said(kv.value, kv.key)
        for kv in both.client.range(start, end).kvs
    }
    owned = collections.Counter(str(each.get("instance")) for each in owners.values())
    start, end = keys.all_of("members")
    members = {
        kv.key[len(start) :].decode("utf-8", "replace"): documents.said(kv.value, kv.key)
        for kv in both.client.range(start, end).kvs
    }
    for name, said in members.items():
        yield from _member(name, said, owned[name], both.settings)
    sharing_ones = [name for name, said in members.items() if said.get("shares") is True]
    if sharing_ones:
        yield from _spread(sharing_ones, owned, [s.id for s in shards if s.id not in owners])


def _member(name: str, said: Said, has: int, settings: models.Config) -> Iterator[finding.Fact]:
    where = f" ({said['admin']})" if said.get("admin") else ""
    who = f"supervisor {name}{where}"
    if said.get("shares") is not True:
        yield SIDE.ok(f"{who} {'writes' if has else 'stands by'}")
        if settings.cluster.mode == "share":
            yield SIDE.note(
                f"{who} takes what is free and gives nothing away, so that nothing is evened out",
                "it is of an older release, or has another cluster.mode: give all the same",
            )
        return
    called = f", called {said['name']}" if said.get("name") else ""
    stops = "; it is stopping" if said.get("draining") else ""
    yield SIDE.ok(f"{who}{called} shares, and has {has} of the shards{stops}")
    yield from _odd(who, said, settings)


def _odd(who: str, said: Said, settings: models.Config) -> Iterator[finding.Fact]:
    """What is not as with the others."""
    if said.get("config") != sharing.alike(models.redacted(settings)):
        yield SIDE.note(
            f"{who} runs on another configuration than this one",
            "it may differ in http, log, reload, workers, cluster.name and capacity alone",
        )
    if said.get("version") != (ours := version.info().version):
        yield SIDE.note(
            f"{who} is of release {said.get('version') or 'unknown'}, this is {ours}",
            "several releases may share for as long as an upgrade takes",
        )
    if said.get("healthy") is False:
        yield SIDE.note(
            f"{who} has no session with ZooKeeper",
            "it is offered nothing; see whether the hosts in its zookeeper.hosts answer it",
        )
    failing = said.get("failing")
    if isinstance(failing, list) and failing:
        yield SIDE.note(
            f"{who} could not mirror {text.few([str(each) for each in failing], _NAMED)}",
            "`zk2etcd status` there says why",
        )


def _spread(
    names: Sequence[str], owned: Mapping[str, int], free: Sequence[str]
) -> Iterator[finding.Fact]:
    counts = ", ".join(f"{owned.get(name, 0)}" for name in names)
    some = "supervisors share" if len(names) > 1 else "supervisor shares"
    yield SIDE.ok(f"{len(names)} {some} the shards: {counts}")
    if free:
        yield SIDE.note(
            f"no supervisor has {text.few(free, _NAMED)}",
            "one takes it within two state.lease_ttl, if any has it in its configuration",
        )
