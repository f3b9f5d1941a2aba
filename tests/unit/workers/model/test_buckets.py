"""Whose a path is: in `mapping`, of several buckets, every path and every key is one shard's."""

from __future__ import annotations

import collections

import pytest
from hypothesis import example, given, strategies as st

from tests.unit.workers import drawn, splits
from zk2etcd_workers.model import mapping


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", [0, 0, 0, 0]),
        ("a", [1, 2, 3, 47]),
        ("com.foo.Bar", [0, 0, 0, 92]),
        ("中", [1, 1, 3, 203]),
        ("service-0001", [1, 0, 1, 65]),
    ],
)
def test_the_hash_is_the_same_in_every_process_and_release(name: str, expected: list[int]) -> None:
    assert [mapping.bucket(name.encode(), count) for count in (2, 3, 4, 256)] == expected


@given(drawn.ROOTS, drawn.ROOTS, drawn.BELOW, splits.COUNTS)
@example([], [], [], 3)
@example(["x"], [], ["a", "b"], 3)
@example([], ["x"], ["a", "b"], 3)
def test_a_path_and_its_key_are_of_one_and_the_same_bucket(
    source: list[str], target: list[str], below: list[str], count: int
) -> None:
    path = drawn.path(source, below).encode()
    shards = splits.parts(count, drawn.path(source), drawn.path(target))
    owners = [shard.owns(path) for shard in shards]
    assert owners.count(True) == 1
    assert owners == [shard.owns_key(shard.key(path)) for shard in shards]
    assert owners == [not shard.is_excluded(path) for shard in shards]
    assert owners[0] or below, "the root is the first bucket's"
    child = drawn.path(source, below[:1]).encode()
    assert owners == [shard.owns(child) for shard in shards], "with its whole subtree"


@given(st.binary(max_size=8), splits.COUNTS)
def test_any_key_is_one_bucket_s_a_foreign_one_too(rest: bytes, count: int) -> None:
    assert [shard.owns_key(b"/t/" + rest) for shard in splits.parts(count)].count(True) == 1


def test_one_bucket_has_everything() -> None:
    whole = mapping.Mapping("/s", "/t")
    assert not whole.narrows
    assert whole.owns(b"/s")
    assert whole.owns(b"/s/a/b")
    assert whole.owns_key(b"/t//")
    assert whole.after(b"/t/a/b") == b"/t/a/b\0"


def test_names_spread_evenly() -> None:
    names = [f"com.example.service{number:04}" for number in range(4000)]
    counts = collections.Counter(mapping.bucket(name.encode(), 4) for name in names)
    assert all(900 < counts[number] < 1100 for number in range(4))


def test_zookeeper_s_own_root_concerns_the_first_bucket_only() -> None:
    assert [shard.concerns(b"/") for shard in splits.parts(3, "/", "/x")] == [True, False, False]


@given(st.sets(st.binary(max_size=4).map(lambda rest: b"/t/" + rest) | splits.DEEP), splits.COUNTS)
def test_runs_are_neighbours_of_one_bucket_each(keys: set[bytes], count: int) -> None:
    ordered, shards = sorted(keys), splits.parts(count)
    found = list(shards[0].runs(ordered))
    assert [at for run in found for at in range(*run[1:])] == list(range(len(ordered)))
    for bucket, start, end in found:
        assert all(shards[bucket].owns_key(key) for key in ordered[start:end])
