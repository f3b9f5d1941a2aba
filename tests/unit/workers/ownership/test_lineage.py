from __future__ import annotations

from zk2etcd_workers.ownership import lineage

Point = lineage.Checkpoint
OLD = Point(1000, 10)


def test_nothing_was_released() -> None:
    assert lineage.gone_until("new", {"a": 0}, {"a": OLD}) == 0
    assert lineage.gone_until("new", {}, {"removed": OLD}) == 0


def test_what_was_before_a_release_is_gone() -> None:
    since, points = {"a": 20}, {"a": Point(50, 25), "removed": OLD, "new": Point(0, 30)}
    assert lineage.gone_until("new", since, points) == 20
    del points["new"]
    assert lineage.gone_until("new", since, points) == 20


def test_the_earliest_release_counts() -> None:
    """`a` went on in the present ensemble before `b` was released too: it must go on to count."""
    since = {"a": 20, "b": 40, "c": 0}
    points = {"a": Point(50, 30), "b": Point(45, 41), "c": OLD}
    assert lineage.gone_until("new", since, points) == 20


def test_a_shard_that_was_mirrored_keeps_its_floor() -> None:
    since, points = {"a": 20}, {"a": Point(50, 25), "mine": OLD}
    assert lineage.gone_until("mine", since, points) == 0


def test_a_release_after_which_nothing_was_mirrored_proves_nothing() -> None:
    assert lineage.gone_until("new", {"a": 20}, {"a": Point(0, 20), "removed": OLD}) == 0
    assert lineage.gone_until("new", {"a": 20}, {"a": Point(0, 21), "removed": OLD}) == 0
    assert lineage.gone_until("new", {"a": 20}, {"removed": OLD}) == 0
