"""Owners found by their target's path are those that a comparison with each would find."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies

from tests.unit.workers.ownership import fences
from zk2etcd import errors, messages
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import owners, records

ELEMENTS = strategies.sampled_from(["a", "a-", "a0", "b"])
TARGETS = strategies.one_of(
    strategies.just("/"),
    strategies.lists(ELEMENTS, min_size=1, max_size=3).map(lambda names: "/" + "/".join(names)),
)
SHARDS = strategies.builds(
    lambda target, bucket, buckets: messages.Shard(
        f"{target}-{bucket % buckets}-{buckets}", "/s", target, (), bucket % buckets, buckets
    ),
    TARGETS,
    strategies.integers(0, 2),
    strategies.integers(1, 3),
)


def key(shard: messages.Shard) -> bytes:
    return b"owners/" + shard.id.encode()


def said(shard: messages.Shard) -> dict[str, Any]:
    return records.decode(fences.of(shard)._document(), key(shard))


@given(strategies.lists(SHARDS, max_size=12, unique_by=lambda shard: shard.id), SHARDS)
def test_none_that_intersects_is_missed_and_none_other_found(
    others: list[messages.Shard], mine: messages.Shard
) -> None:
    found = owners.Owners([wire.Present(key(o), fences.of(o)._document(), 7) for o in others])
    wanted = [o for o in others if o.id != mine.id and owners.intersect(said(o), mine)]
    assert [each.key for each in found.beside(key(mine), mine)] == sorted(map(key, wanted))
    assert (found.of(key(mine)) is not None) == any(o.id == mine.id for o in others)


def test_one_that_is_put_anew_stands_where_it_says_now() -> None:
    one = messages.Shard("one", "/s", "/a", ())
    moved = messages.Shard("one", "/s", "/b", ())
    found = owners.Owners([wire.Present(key(one), fences.of(one)._document(), 7)])
    found.add(owners.Owner(key(one), said(moved), 8))
    assert not list(found.beside(b"owners/two", messages.Shard("two", "/s", "/a/below", ())))
    assert list(found.beside(b"owners/two", messages.Shard("two", "/s", "/b/below", ())))


def test_one_that_does_not_say_what_it_is_for_is_for_everything() -> None:
    found = owners.Owners([wire.Present(b"o/other", b'{"v": 1, "instance": "i"}', 5, 5)])
    mine = messages.Shard("mine", "/s", "/a/b", ())
    assert [each.key for each in found.beside(b"o/mine", mine)] == [b"o/other"]
    assert found.of(b"o/other")


def test_half_a_character_stands_in_nobody_s_way() -> None:
    """JSON can hold one, and nobody can encode it."""
    value = b'{"v": 1, "instance": "\\ud800", "target": "/a/\\ud800", "source": "\\ud800"}'
    found = owners.Owners([wire.Present(b"o/other", value, 5, 5)])
    assert not list(found.beside(b"o/mine", messages.Shard("mine", "/s", "/b", ())))
    above = list(found.beside(b"o/mine", messages.Shard("mine", "/s", "/a", ())))
    assert [each.key for each in above] == [b"o/other"]
    assert found.instances(0) == {"?"}


def test_a_key_that_is_as_it_was_is_taken_apart_once_and_one_that_is_not_again() -> None:
    first, again = (owners.said(b'{"v": 1, "instance": "i"}', b"o/a") for _ in range(2))
    assert first is again
    assert owners.said(b'{"v": 1, "instance": "j"}', b"o/a")["instance"] == "j"
    for _ in range(2):
        with pytest.raises(errors.NewerFormat, match="o/b"):
            owners.said(b"{}", b"o/b")
