"""What is measured of supervisors that share."""

from __future__ import annotations

import dataclasses

from tests.unit import scraping, views
from zk2etcd.view import exposition, published

OURS = published.Member("host-1-abc", config="a", version="1.2.3", owned=1)
OTHER = dataclasses.replace(OURS, name="host-2-def")
CLUSTER = published.Cluster(
    (OURS, OTHER), unowned={"c": 7.5}, moves={"balance": 2, "loss": 0, "error": 0, "stop": 1}
)


def scraped(cluster: published.Cluster | None) -> dict[str, float]:
    shards = views.shard("a"), views.elsewhere("b"), views.elsewhere("c", None)
    view = views.view(cluster=cluster, shards=shards)
    text = exposition.Aggregator(lambda: "", lambda: view).text().decode()
    return scraping.samples(text)


def test_who_is_there_who_has_how_much_and_what_came() -> None:
    found = scraped(CLUSTER)
    assert found["zk2etcd_members"] == 2
    assert found["zk2etcd_members_differing"] == 0
    assert found["zk2etcd_shards_owned"] == 1
    unowned = {shard: found[f'zk2etcd_shard_unowned_seconds{{shard="{shard}"}}'] for shard in "abc"}
    assert unowned == {"a": 0, "b": 0, "c": 7.5}
    moves = {why: found[f'zk2etcd_shard_moves_total{{reason="{why}"}}'] for why in CLUSTER.moves}
    assert moves == CLUSTER.moves


def test_another_configuration_and_another_release_differ_and_who_shares_nothing_does_not() -> None:
    others = (
        dataclasses.replace(OTHER, config="b"),
        dataclasses.replace(OTHER, name="three", version="1.2.4"),
        dataclasses.replace(OTHER, name="four", config="", version="", shares=False),
    )
    cluster = dataclasses.replace(CLUSTER, members=(OURS, *others))
    assert [each.name for each in cluster.differing("host-1-abc")] == ["host-2-def", "three"]
    assert scraped(cluster)["zk2etcd_members_differing"] == 2
    assert cluster.differing("not-there-yet") == ()


def test_while_etcd_does_not_tell_nothing_is_said_of_who_is_there() -> None:
    found = scraped(dataclasses.replace(CLUSTER, untold="etcd is away"))
    assert found["zk2etcd_shards_owned"] == 1
    assert "zk2etcd_members" not in found
    assert not any(name.startswith("zk2etcd_shard_unowned") for name in found)


def test_whoever_does_not_share_has_none_of_it() -> None:
    words = "members", "shards_owned", "unowned", "moves"
    assert not any(word in name for name in scraped(None) for word in words)
