"""The status of several supervisors as one."""

from __future__ import annotations

from tests.unit import views
from zk2etcd.view import published, status, together

OTHER = published.Member("host-2-def", url="http://10.0.0.2:9180", owned=1)
GONE = published.Member("host-3", owned=1)


def ours() -> status.Document:
    shards = views.shard("a"), views.elsewhere("b"), views.elsewhere("c", "host-3")
    view = views.view(cluster=views.cluster(OTHER, GONE), shards=shards)
    return status.document(view, views.NOW)


def theirs() -> status.Document:
    shards = views.elsewhere("a", "host-1-abc"), views.shard("b", keys=7), views.shard("z")
    view = views.view(instance="host-2-def", shards=shards, cluster=views.cluster(OTHER))
    return status.document(view, views.NOW)


def test_each_shard_is_as_its_owner_tells_and_where_it_is_as_we_see_it() -> None:
    found = together.merged(ours(), {"host-2-def": theirs(), "host-3": "does not answer"})
    by_id = {shard["id"]: shard for shard in found["shards"]}
    assert list(by_id) == ["a", "b", "c", "z"]
    assert (by_id["a"]["owned"], by_id["a"]["holder"]) == (True, None)
    assert (by_id["b"]["phase"], by_id["b"]["keys"]) == ("following", 7)
    assert (by_id["b"]["owned"], by_id["b"]["holder"]) == (False, "host-2-def")
    assert (by_id["c"]["phase"], by_id["c"]["holder"]) == ("waiting", "host-3")
    assert by_id["z"]["holder"] == "host-2-def"


def test_each_supervisor_tells_of_itself_or_it_is_said_why_not() -> None:
    found = together.merged(ours(), {"host-2-def": theirs(), "host-3": "does not answer"})
    one, two, three = found["cluster"]["members"]
    assert one["status"]["workers"] == ours()["workers"]
    assert two["status"]["instance"] == "host-2-def"
    assert "shards" not in two["status"]
    assert (two["unasked"], three["unasked"], three["status"]) == (None, "does not answer", None)


def test_a_shard_of_which_its_owner_says_nothing_stays_as_we_see_it() -> None:
    """It gave it up since."""
    found = together.merged(ours(), {"host-2-def": together.mine({**theirs(), "shards": []})})
    assert [shard["phase"] for shard in found["shards"]] == ["following", "waiting", "waiting"]


def test_of_its_own_are_those_that_its_workers_have() -> None:
    assert [shard["id"] for shard in together.mine(ours())["shards"]] == ["a"]


def test_whoever_does_not_share_is_alone() -> None:
    alone = status.document(views.view(), views.NOW)
    assert alone["cluster"] is None
    assert together.merged(alone, {"x": theirs()}) is alone
