"""The names of a long listing, in parts, against `sorted`."""

from __future__ import annotations

import array
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import mapping, tree
from zk2etcd_workers.walk import names


def packed(of: Sequence[bytes]) -> tree.Packed:
    """As an answer of ZooKeeper has them, behind some other bytes."""
    answer, places = bytearray(b"head"), array.array("I")
    for name in of:
        answer += len(name).to_bytes(4, "big")
        places.append(len(answer))
        answer += name
    return tree.Packed(bytes(answer + b"tail"), places)


def nothing() -> None:
    """Nobody listens."""


def test_a_packed_listing_is_a_sequence() -> None:
    listing = packed([b"b", b"", b"a" * 300])
    assert list(listing) == [b"b", b"", b"a" * 300]
    assert (len(listing), listing[1], listing[-1]) == (3, b"", b"a" * 300)
    assert listing[:2] == [b"b", b""]
    assert isinstance(listing, tree.LISTINGS)


@given(st.sets(st.binary(max_size=4)), st.integers(1, 9))
def test_it_is_in_byte_order_wherever_it_is_cut(of: set[bytes], batch: int) -> None:
    shuffled = random.Random(0).sample(sorted(of), len(of))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(names, "_PART", 8)
        patched.setattr(names, "_DRAWN", 2)
        ordered = names.ordered(packed(shuffled), None, nothing)
    assert len(ordered) == len(of)
    cuts = [ordered[at : at + batch] for at in range(0, len(of), batch)]
    assert [name for cut in cuts for name in cut] == sorted(of)
    assert [ordered[at] for at in range(len(of))] == sorted(of)


def test_only_the_parts_that_are_used_are_made() -> None:
    of = [b"%06d" % (number * 7919 % 100_003) for number in range(100_003)]
    beats: list[int] = []
    ordered = names.ordered(packed(of), None, lambda: beats.append(1))
    assert isinstance(ordered, names.Ordered)
    assert max(map(len, ordered._parts)) < 3 * names._PART
    for at in range(0, len(of), 256):
        ahead = ordered[at : at + 256]
        assert ahead[0] == b"%06d" % at
        behind = max(0, at - 9_000)
        assert ordered[behind] == b"%06d" % behind
        assert len(ordered._made) <= names._KEPT
    assert len(beats) > 10


@pytest.mark.parametrize("of_a_list", [True, False])
def test_of_a_bucket_and_without_what_is_excluded(of_a_list: bool) -> None:
    children = [b"n%d" % number for number in range(500)]
    found: list[bytes] = []
    for bucket in range(3):
        shard = mapping.Mapping("/s", "/s", ("/s/n7", "/s/n8/x"), bucket, 3)
        listing = children if of_a_list else packed(children)
        found += names.ordered(listing, names.wanted(shard, b"/s"), nothing)
        below = names.ordered(listing, names.wanted(shard, b"/s/n9"), nothing)
        assert list(below) == sorted(children), "only the root's are dealt to buckets"
    assert sorted(found) == sorted(set(children) - {b"n7"})


def test_all_are_wanted_of_a_plain_shard() -> None:
    assert names.wanted(mapping.Mapping("/s", "/s"), b"/s") is None


@given(
    st.lists(st.sampled_from([b"a", b"b", b"ab", b"a*"]), max_size=4),
    st.integers(1, 3),
    st.sampled_from([(), ("/r/*/a",), ("/r/a", "/r/**/ab/b"), ("/r/*/*",)]),
)
def test_a_walk_comes_to_what_is_mirrored_and_no_further(
    below: list[bytes], buckets: int, only: tuple[str, ...]
) -> None:
    """By names, level by level, as `is_closed` says of the whole path."""
    exclude = ("/r/b", r"/r/a\*/a", "/r/*/ab", "/r/a/**/b")
    shard = mapping.Mapping("/r", "/t", exclude, bucket=0, buckets=buckets, only=only)
    path, come = b"/r", True
    for name in below:
        wanted = names.wanted(shard, path)
        come = come and (wanted is None or wanted(name))
        path = tree.join(path, name)
    assert come != shard.is_closed(path)
    assert come or shard.is_excluded(path)
    if not only:
        assert come != shard.is_excluded(path)
