"""A prefix in several buckets, over several rooms: each sees only its own, in a merge of what
ZooKeeper and etcd have, and in what the watch tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from hypothesis import given, strategies as st

from tests.unit.workers import changes, etcd_of_keys, splits, walks
from zk2etcd.config import models
from zk2etcd.policy import sharding
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.model import mapping, plan
from zk2etcd_workers.shard import dirty_paths
from zk2etcd_workers.walk import etcd_keys
from zk2etcd_workers.zookeeper import watch_routes


def test_shards_of_a_prefix_are_its_buckets() -> None:
    prefix = {"from": "/s", "to": "/t", "buckets": 3}
    shards = sharding.shards(models.Config.model_validate({"sync": {"prefixes": [prefix]}}))
    mapped = [mapping.Mapping.of(shard) for shard in shards]
    assert [(each.bucket, each.buckets) for each in mapped] == [(0, 3), (1, 3), (2, 3)]
    assert len({shard.id for shard in shards}) == 3


def differences(
    nodes: Mapping[bytes, bytes], keys: Sequence[bytes], shard: mapping.Mapping
) -> tuple[set[bytes], set[bytes], plan.Counts]:
    """Of one shard: keys to be put, keys that only etcd has, and how many were compared."""
    walk = walks.walk(walks.Session(dict(nodes)), shard)
    counts = plan.Counts()
    stream = etcd_keys.stream(cast(clients.Client, etcd_of_keys.Etcd(keys)), shard)
    found = changes.each_of(plan.merge(walk, stream, counts))
    puts = {each.key for each in found if isinstance(each, plan.Write)}
    return puts, {each.key for each in found if isinstance(each, plan.Extra)}, counts


NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "中", "x y"]), max_size=3)


@given(st.lists(NAMES, max_size=12), st.sets(splits.DEEP, max_size=12), splits.COUNTS)
def test_a_merge_never_yields_another_bucket_s_key(
    several: list[list[str]], keys: set[bytes], count: int
) -> None:
    nodes = {b"/s": b"root"}
    for names in several:
        for depth in range(1, len(names) + 1):
            nodes["/s/{}".format("/".join(names[:depth])).encode()] = b"v"
    wanted = {b"/t" + path[2:] for path in nodes}
    together: list[tuple[set[bytes], set[bytes], plan.Counts]] = []
    for shard in splits.parts(count):
        puts, extras, counts = differences(nodes, list(keys), shard)
        assert all(shard.owns_key(key) for key in puts | extras)
        together.append((puts, extras, counts))
    assert set().union(*(puts for puts, _, _ in together)) == wanted
    assert set().union(*(extras for _, extras, _ in together)) == keys - wanted
    assert sum(counts.wanted for _, _, counts in together) == len(wanted)
    assert sum(counts.present for _, _, counts in together) == len(keys)


def test_an_event_makes_a_path_dirty_in_its_bucket_only_and_the_root_in_all() -> None:
    queues = [dirty_paths.Dirty(shard, 100, lambda: None) for shard in splits.parts(2)]
    routes = watch_routes.Routes()
    for each in queues:
        routes.add(b"/s", each.event, lambda: None)
    for path in (b"/s", b"/s/a", b"/s/a/x", b"/s/com.foo.Bar", b"/other"):
        routes.tell(3, path)
    assert list(queues[0].take(10)) == [b"/s", b"/s/com.foo.Bar"]
    assert list(queues[1].take(10)) == [b"/s", b"/s/a", b"/s/a/x"]
