"""How far on a server must be for shards that share a session."""

from __future__ import annotations

from zk2etcd_workers.zookeeper.servers import floors


def test_the_highest_of_those_who_ask_counts() -> None:
    made = floors.Floors()
    assert made.highest == 0
    seen = []
    for shard, floor in (("a", 5), ("b", 9), ("c", 7), ("b", 3), ("c", 11)):
        made.want(shard, floor)
        seen.append(made.highest)
    assert seen == [5, 9, 9, 9, 11]
    assert [made.of(shard) for shard in "abcd"] == [5, 9, 11, 0]


def test_who_rests_counts_only_where_nobody_asks() -> None:
    made = floors.Floors()
    made.want("a", 5)
    made.rest("b", 9)
    assert made.highest == 5
    made.rest("a")
    assert made.highest == 9
    made.want("a", 3)
    assert (made.highest, made.of("a")) == (5, 5)
    made.want("b", 2)
    assert made.highest == 9


def test_one_for_whom_it_is_lowered_waits_for_the_others_who_ask() -> None:
    made = floors.Floors()
    made.want("a", 5)
    made.want("b", 9)
    made.lower("b")
    assert (made.highest, made.of("b")) == (5, 0)
    made.rest("a")
    assert made.highest == 0
    made.want("b", 2)
    assert made.highest == 2


def test_one_that_is_gone_is_forgotten_but_for_the_last() -> None:
    made = floors.Floors()
    made.want("a", 5)
    made.want("b", 9)
    made.forget("b")
    assert (made.highest, made.of("b")) == (5, 0)
    made.forget("a")
    assert (made.highest, made.of("a")) == (5, 0)
    made.want("c", 2)
    assert made.highest == 2


def test_what_was_seen_before_a_release_that_etcd_tells_of_is_history() -> None:
    """Another released it meanwhile, or the answer to the release was lost."""
    made = floors.Floors()
    made.want("a", 5, 10)
    made.want("b", 9, 10)
    made.rest("b")
    made.want("b", 2, 20)
    assert (made.highest, made.of("b")) == (5, 2)
    made.rest("a", 3, 30)
    assert (made.highest, made.of("a")) == (2, 3)


def test_an_etcd_that_was_put_back_to_before_a_release_lowers_nothing() -> None:
    made = floors.Floors()
    made.want("a", 5, 20)
    for since in (0, 15, 20):
        made.want("a", 2, since)
        assert made.of("a") == 5
    made.want("a", 1, 25)
    assert made.of("a") == 1
