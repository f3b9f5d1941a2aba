"""What people see of supervisors that share."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit import views
from zk2etcd.view import membership, problems, published, status, together

OTHER = published.Member(
    "host-2-def", label="two", url="http://10.0.0.2:9180", version="1.2.3", config="a", owned=1
)
GONE = published.Member("host-3", url="http://10.0.0.3:9180", config="b", owned=1)


def found(state: str = "ready", **of_the_other: object) -> status.Document:
    us = published.Member("host-1-abc", config="a", owned=1)
    shards = views.shard("a"), views.elsewhere("b"), views.elsewhere("c", "host-3")
    cluster = published.Cluster((us, OTHER, GONE))
    own = status.document(views.view(state=state, cluster=cluster, shards=shards), views.NOW)
    view = views.view(instance="host-2-def", shards=(views.shard("b"),), **of_the_other)
    told = status.document(view, views.NOW)
    return together.merged(own, {"host-2-def": told, "host-3": "does not answer: refused"})


def test_each_shard_has_the_name_of_who_has_it() -> None:
    document = found()
    placed = membership.placed(document["shards"], document)
    assert [each["supervisor"] for each in placed] == ["host-1-abc", "two", "host-3"]


def test_who_is_there_and_what_each_says() -> None:
    rows = membership.listed(found(state="standby"))
    assert [(each["state"], each["like"], each["here"]) for each in rows] == [
        ("standby", "as here", True),
        ("ready", "as here", False),
        ("not known", "another", False),
    ]
    assert [each["slot"] for each in membership.workers(found())] == ["w0", "two w0"]


def test_a_terminal_shows_shards_with_their_supervisors_and_these() -> None:
    shown = views.drawn(found(), 160)
    (row,) = (line for line in shown.splitlines() if line.startswith("b "))
    assert " two " in row
    assert "following" in row
    assert any("two" in line and "http://10.0.0.2:9180" in line for line in shown.splitlines())
    assert "two w0" not in shown
    assert "two w0" in views.drawn(found(), 160, everything=True)
    alone = views.drawn(views.document(views.shard()), 160)
    assert "supervisor" not in alone


def test_one_that_has_nobody_to_share_with_is_shown_as_one_that_does_not() -> None:
    us = published.Member("host-1-abc", config="a", owned=1)
    for shared in published.Cluster((us,)), published.Cluster(()):
        document = status.document(views.view(cluster=shared), views.NOW)
        assert membership.listed(document) == []
        assert "supervisor" not in views.drawn(document, 160)
    other = status.document(views.view(cluster=published.Cluster((OTHER,))), views.NOW)
    assert len(membership.listed(other)) == 1


@pytest.mark.parametrize("width", [40, 80, 100, 160])
def test_it_fits(width: int) -> None:
    assert max(map(len, views.drawn(found(), width).splitlines())) <= width


def test_what_is_wrong_elsewhere_is_said_with_where() -> None:
    dead = views.worker("w1", state="backoff", pid=None, restarts=4, last_exit=-9)
    silent, worker = problems.of(found())[0], problems.of(found(workers=(dead,)))[0]
    assert silent.where == "supervisor host-3"
    assert "does not answer: refused at http://10.0.0.3:9180" in silent.what
    assert "how its 1 shards do is not known" in silent.what
    assert "`zk2etcd status --url http://10.0.0.3:9180`" in silent.remedy
    assert worker.where == "supervisor two: worker w1"


def test_all_is_well_when_it_is_so_everywhere_and_known() -> None:
    document = found()
    assert status.exit_code(document) == 1, "nobody knows how a shard of host-3's does"
    document["cluster"]["members"][2]["owned"] = 0
    assert status.exit_code(document) == 0
    ill = found(state="ready")
    ill["cluster"]["members"][2]["owned"] = 0
    ill["cluster"]["members"][1]["status"]["state"] = "degraded"
    assert status.exit_code(ill) == 1


def test_that_etcd_does_not_tell_is_a_problem() -> None:
    cluster = dataclasses.replace(views.cluster(), untold="etcd does not tell: away")
    (problem,) = problems.of(status.document(views.view(cluster=cluster), views.NOW))
    assert (problem.where, problem.what) == ("other supervisors", "etcd does not tell: away")
