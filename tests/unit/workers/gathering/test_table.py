"""What is known of a range that is read now and then, and watched in between."""

from __future__ import annotations

from zk2etcd_workers.etcd.streams import watching
from zk2etcd_workers.gathering import documents, table
from zk2etcd_workers.ownership import records

KEYS = records.Keys("s")


def owner(shard: str, revision: int, member: str = "m", lease: int = 1) -> watching.Change:
    value = records.encode({"instance": member})
    return watching.Change(KEYS.owner(shard), value, revision, lease)


def owners(known: table.Table) -> dict[str, tuple[str, int]]:
    found = known.census(lambda _: frozenset()).owners
    return {shard: (each.member, each.token) for shard, each in found.items()}


def test_what_is_told_goes_on_from_what_was_read() -> None:
    known = table.Table(KEYS)
    assert known.read([owner("a", 3), owner("b", 4)], 9, 0.0)
    assert known.told(
        [owner("c", 10), owner("a", 11, "n"), watching.Change(KEYS.owner("b"), None, 12)]
    )
    assert owners(known) == {"a": ("n", 11), "c": ("m", 10)}
    assert known.revision == 12


def test_what_was_told_late_changes_nothing_that_was_read_since() -> None:
    known = table.Table(KEYS)
    known.read([owner("a", 8)], 9, 0.0)
    assert not known.told([owner("a", 5), watching.Change(KEYS.owner("a"), None, 7)])
    assert owners(known) == {"a": ("m", 8)}
    assert known.revision == 9


def test_a_watch_that_does_not_tell_what_was_read_is_found_out() -> None:
    known = table.Table(KEYS)
    known.read([owner("a", 3), owner("b", 3)], 5, 0.0)
    known.forgive()
    known.read([owner("a", 7)], 8, 10.0)  # b was deleted
    assert not known.owes(11.0)
    known.told([owner("a", 7)])
    assert known.owes(12.1)
    known.told([watching.Change(KEYS.owner("b"), None, 6)])
    assert not known.owes(99.0)


def test_a_read_of_the_same_is_no_change() -> None:
    known = table.Table(KEYS)
    known.read([owner("a", 3)], 5, 0.0)
    known.told([owner("b", 6)])
    assert not known.read([owner("a", 3), owner("b", 6)], 6, 1.0)
    assert known.read([owner("a", 3), owner("b", 6, lease=2)], 7, 1.0)


def test_what_only_a_newer_release_can_read_is_somebody_s() -> None:
    known = table.Table(KEYS)
    strange = watching.Change(KEYS.owner("a"), b'{"v":2}', 3, 1)
    offer = watching.Change(KEYS.offer("a"), b'{"v":2}', 4, 1)
    member = watching.Change(KEYS.member("n"), b'{"v":2}', 4, 1)
    known.read([strange, offer, member], 5, 0.0)
    found = known.census(lambda _: frozenset())
    assert found.owners["a"].member == ""
    assert found.offers == {}
    assert not found.members["n"].shares


def test_which_lists_are_named() -> None:
    known = table.Table(KEYS)
    said = records.encode({"shares": True, "shards": "d"})
    known.read([watching.Change(KEYS.member("m"), said, 3, 1)], 5, 0.0)
    assert known.digests() == {"d"}
    assert documents.digest(frozenset("ab")) == documents.digest(frozenset("ba"))
