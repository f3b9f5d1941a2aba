"""The keys of etcd as pages: the streams of several buckets are the whole, split."""

from __future__ import annotations

import itertools
from typing import cast

import pytest
from hypothesis import given, strategies as st

from tests.unit.workers import etcd_of_keys, splits
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.model import mapping, plan, tree
from zk2etcd_workers.walk import beside, etcd_keys, snapshot


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


ROOM = 40_000
NAMES = [b"/t/%05d" % number for number in range(5_000)]


def compared(client: etcd_of_keys.Etcd, *, look: bool = False) -> plan.Counts:
    """A walk of all names, in runs, beside what this etcd has of them."""
    runs = []
    for start in range(0, len(NAMES), 500):
        run = plan.Run()
        some = NAMES[start : start + 500]
        run.add_all(some, None, some, [tree.Node(name, name, 5, 7, 1, 0, 0) for name in some])
        runs.append(run)
    counts, shard = plan.Counts(), mapping.Mapping("/s", "/t")
    reader = etcd_keys.Reader(cast(clients.Client, client), shard)
    if look:
        reader.look()
    for _ in beside.differences(runs, reader, 1, counts):
        pass
    return counts


def test_pages_of_a_thin_line_are_small_and_there_are_no_more_of_them_than_that_needs() -> None:
    client = etcd_of_keys.Etcd(NAMES)
    client.learned.down.room = ROOM
    assert compared(client).present == len(NAMES)
    assert max(client.sizes) <= ROOM // 2
    assert sum(client.sizes) / len(client.sizes) > ROOM // 8


@pytest.mark.parametrize("batch", [256, 1_000])
def test_each_piece_of_a_walk_is_one_page_once_their_sizes_are_known(batch: int) -> None:
    """The second of two would be waited for.

    :param batch: `zookeeper.read_batch`, by default and at most.
    """
    longest = snapshot._RUN - 1 + batch
    names = [b"/t/%06d" % number for number in range(40_000)]
    client = etcd_of_keys.Etcd(names)
    runs = []
    for start in range(0, len(names), longest):
        run = plan.Run()
        some = names[start : start + longest]
        run.add_all(some, None, some, [tree.Node(name, name, 5, 7, 1, 0, 0) for name in some])
        runs.append(run)
    reader = etcd_keys.Reader(cast(clients.Client, client), mapping.Mapping("/s", "/t"))
    differing = list(beside.differences(runs, reader, 1, plan.Counts()))
    assert not differing
    *pages, last, rest = client.sizes
    assert rest == 0
    assert all(size >= 100 * beside._PIECE_NODES for size in pages[-6:])
    assert last == 100 * (len(names) - sum(pages) // 100)


def test_an_etcd_that_has_nothing_yet_is_not_asked_more_often_for_that() -> None:
    client = etcd_of_keys.Etcd([])
    client.learned.down.room = ROOM
    assert compared(client).present == 0
    assert len(client.sizes) < 12


def test_and_no_more_at_all_once_that_was_seen() -> None:
    client = etcd_of_keys.Etcd([])
    assert compared(client, look=True).present == 0
    assert len(client.sizes) == 2, "its own key, and whether there are others"


@pytest.mark.parametrize("there", [[b"/t"], [b"/t/00000"], [b"/t/zzz"], NAMES])
def test_whatever_is_there_is_read(there: list[bytes]) -> None:
    assert compared(etcd_of_keys.Etcd(there), look=True).present == len(there)


def test_a_bucket_without_keys_does_not_read_those_of_others() -> None:
    first, second = splits.parts(2)
    client = etcd_of_keys.Etcd([key for key in NAMES if first.owns_key(key)])
    reader = etcd_keys.Reader(cast(clients.Client, client), second)
    reader.look()
    mine = [key for key in NAMES if second.owns_key(key)]
    held = [*reader.part(mine[100], 10_000), *reader.part(mine[-1], 10_000), *reader.rest()]
    assert [key for page in held for key in page.keys] == []
    assert len(client.sizes) == 1, "its own key's page"


def test_keys_alone_are_read_in_pages_that_the_line_carries() -> None:
    client = etcd_of_keys.Etcd(NAMES)
    client.learned.down.room = ROOM
    assert etcd_keys.number(cast(clients.Client, client), mapping.Mapping("/s", "/t")) == 5_000
    assert max(client.sizes) <= ROOM // 2
