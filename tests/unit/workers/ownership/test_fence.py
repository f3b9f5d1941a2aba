"""Whose range intersects another's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.workers.ownership import fences
from zk2etcd import messages
from zk2etcd_workers.ownership import owners, records


def owner(source: str, target: str, bucket: int, buckets: int) -> dict[str, Any]:
    shard = messages.Shard("x", source, target, (), bucket, buckets)
    return records.decode(fences.of(shard)._document(), b"owners/x")


@pytest.mark.parametrize(
    ("other", "intersects"),
    [
        (("/s", "/t", 0, 3), True),
        (("/s", "/t", 1, 3), False),
        (("/s", "/t", 2, 3), False),
        (("/s", "/t", 0, 1), True),
        (("/s", "/t", 1, 2), True),
        (("/s", "/t", 1, 4), True),
        (("/other", "/t", 1, 3), True),
        (("/s", "/t/below", 1, 3), True),
        (("/s", "/", 1, 3), True),
        (("/s", "/t2", 0, 3), False),
    ],
)
def test_only_the_other_buckets_of_the_same_split_do_not_intersect(
    other: tuple[str, str, int, int], intersects: bool
) -> None:
    mine = messages.Shard("y", "/s", "/t", (), 0, 3)
    assert owners.intersect(owner(*other), mine) is intersects
    theirs = messages.Shard("y", other[0], other[1], (), other[2], other[3])
    assert owners.intersect(owner("/s", "/t", 0, 3), theirs) is intersects


@pytest.mark.parametrize("bucket", [None, -1, 3, "1", 1.5, True])
def test_an_owner_of_no_bucket_intersects_all(bucket: object) -> None:
    found = {**owner("/s", "/t", 1, 3), "bucket": bucket}
    mine = messages.Shard("y", "/s", "/t", (), 1, 3)
    assert owners.intersect(found, mine)
