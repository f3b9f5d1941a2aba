"""The keys of etcd as pages: the streams of several buckets are the whole, split."""

from __future__ import annotations

import itertools
from typing import cast

import pytest
from hypothesis import given, strategies as st

from tests.unit.workers import etcd_of_keys, splits
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.model import mapping
from zk2etcd_workers.walk import etcd_keys


def streamed(client: etcd_of_keys.Etcd, shard: mapping.Mapping) -> list[bytes]:
    pages = etcd_keys.stream(cast(clients.Client, client), shard)
    return list(itertools.chain.from_iterable(page.keys for page in pages))


REST = st.binary(max_size=4).map(lambda rest: b"/t/" + rest)


@given(
    st.sets(REST | splits.DEEP | st.sampled_from([b"/t", b"/t0", b"/t-"]), max_size=40),
    splits.COUNTS,
)
def test_the_buckets_streams_are_the_whole_stream_split(keys: set[bytes], count: int) -> None:
    patched = pytest.MonkeyPatch()
    patched.setattr(etcd_keys, "_FIRST_PAGE", 3)
    patched.setattr(etcd_keys, "_LARGEST_PAGE", 4)
    try:
        whole = streamed(etcd_of_keys.Etcd(list(keys)), mapping.Mapping("/s", "/t"))
        split = [streamed(etcd_of_keys.Etcd(list(keys)), shard) for shard in splits.parts(count)]
    finally:
        patched.undo()
    assert sorted(itertools.chain.from_iterable(split)) == whole
    for shard, each in zip(splits.parts(count), split, strict=True):
        assert each == sorted(each)
        assert all(shard.owns_key(key) for key in each)


def test_a_large_child_of_another_bucket_is_skipped() -> None:
    keys = [b"/t", *(b"/t/a/%05d" % number for number in range(20_000)), b"/t/com.foo.Bar"]
    first, second = splits.parts(2)
    client = etcd_of_keys.Etcd(keys)
    assert streamed(client, first) == [b"/t", b"/t/com.foo.Bar"]
    assert client.sent < 1000
    assert streamed(client, second) == keys[1:-1]
    assert etcd_keys.number(cast(clients.Client, client), first) == 2
