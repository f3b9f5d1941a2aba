"""A release stays until its trip is gone, and each worker is told once."""

from __future__ import annotations

import dataclasses

from zk2etcd import conditions, messages
from zk2etcd.supervisor import releasing

TRIP = conditions.Guard("t1", "many", 3, 9, (), 0.0)
HELD = messages.ShardReport(id="a", phase="guarded", owned=True, guard=TRIP)
STARTS = messages.ShardReport(id="a", phase="full_sync", owned=True)
ORDER = messages.Release("a", "t1", "anna")


def taken() -> releasing.Releases:
    made = releasing.Releases()
    made.take(ORDER, ("w0", 1), 0.0)
    return made


def test_the_worker_that_was_told_is_not_told_again() -> None:
    assert taken().heard(HELD, ("w0", 1), 1.0) is None


def test_its_successor_is_told_once_it_knows_of_the_trip() -> None:
    found = taken()
    assert found.heard(STARTS, ("w0", 2), 1.0) is None
    assert found.heard(HELD, ("w0", 2), 2.0) == ORDER
    assert found.heard(HELD, ("w0", 2), 3.0) is None


def test_so_is_a_worker_of_another_slot_and_the_next_one() -> None:
    found = taken()
    assert found.heard(HELD, ("w1", 1), 1.0) == ORDER
    assert found.heard(HELD, ("w1", 2), 1.0) == ORDER


def test_one_that_does_not_own_the_shard_yet_is_not() -> None:
    assert taken().heard(dataclasses.replace(HELD, owned=False), ("w0", 2), 1.0) is None


def test_it_is_over_with_its_trip() -> None:
    other = dataclasses.replace(HELD, guard=dataclasses.replace(TRIP, id="t2"))
    follows = dataclasses.replace(STARTS, phase="following")
    anothers = messages.ShardReport(id="a", phase="waiting", holder="z")
    for ended in (other, follows, anothers):
        found = taken()
        assert found.heard(ended, ("w0", 1), 1.0) is None
        assert found.heard(HELD, ("w0", 2), 2.0) is None


def test_it_is_over_when_nobody_expects_it_any_more() -> None:
    assert taken().heard(HELD, ("w0", 2), releasing.KEPT + 1) is None


def test_it_is_over_with_its_shard() -> None:
    found = taken()
    found.keep(["b"])
    assert found.heard(HELD, ("w0", 2), 1.0) is None


def test_a_later_one_takes_its_place() -> None:
    found = taken()
    later = messages.Release("a", "t2", "bert")
    found.take(later, ("w0", 2), 1.0)
    held = dataclasses.replace(HELD, guard=dataclasses.replace(TRIP, id="t2"))
    assert found.heard(held, ("w0", 3), 2.0) == later
