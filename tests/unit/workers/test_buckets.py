"""A prefix in several buckets: every path and every key is one shard's, and each sees only its own,
in ZooKeeper's walk, in etcd's pages, and in what the watch tells."""

from __future__ import annotations

import collections
import itertools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import pytest
from hypothesis import example, given, strategies as st

from tests.unit.workers import drawn, walks
from zk2etcd import messages, metrics
from zk2etcd.config import connections, mirroring, models
from zk2etcd.policy import sharding
from zk2etcd_workers.etcd import client as clients, wire
from zk2etcd_workers.model import guard, mapping, plan, tree
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.shard import dirty_paths
from zk2etcd_workers.walk import etcd_keys
from zk2etcd_workers.zookeeper import watch_routes

COUNTS = st.integers(2, 6)
STORED = pathlib.Path(__file__).parent / "ownership" / "stored"


def parts(buckets: int, source: str = "/s", target: str = "/t") -> list[mapping.Mapping]:
    return [mapping.Mapping(source, target, (), number, buckets) for number in range(buckets)]


# --- whose a path is ------------------------------------------------------------------------------


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


@given(drawn.ROOTS, drawn.ROOTS, drawn.BELOW, COUNTS)
@example([], [], [], 3)
@example(["x"], [], ["a", "b"], 3)
@example([], ["x"], ["a", "b"], 3)
def test_a_path_and_its_key_are_of_one_and_the_same_bucket(
    source: list[str], target: list[str], below: list[str], count: int
) -> None:
    path = drawn.path(source, below).encode()
    shards = parts(count, drawn.path(source), drawn.path(target))
    owners = [shard.owns(path) for shard in shards]
    assert owners.count(True) == 1
    assert owners == [shard.owns_key(shard.key(path)) for shard in shards]
    assert owners == [not shard.is_excluded(path) for shard in shards]
    assert owners[0] or below, "the root is the first bucket's"
    child = drawn.path(source, below[:1]).encode()
    assert owners == [shard.owns(child) for shard in shards], "with its whole subtree"


@given(st.binary(max_size=8), COUNTS)
def test_any_key_is_one_bucket_s_a_foreign_one_too(rest: bytes, count: int) -> None:
    assert [shard.owns_key(b"/t/" + rest) for shard in parts(count)].count(True) == 1


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


def test_shards_of_a_prefix_are_its_buckets() -> None:
    prefix = {"from": "/s", "to": "/t", "buckets": 3}
    shards = sharding.shards(models.Config.model_validate({"sync": {"prefixes": [prefix]}}))
    mapped = [mapping.Mapping.of(shard) for shard in shards]
    assert [(each.bucket, each.buckets) for each in mapped] == [(0, 3), (1, 3), (2, 3)]
    assert len({shard.id for shard in shards}) == 3


# --- both sides -----------------------------------------------------------------------------------


class Etcd:
    """Pages of `keys`, whose values are their own names; `sent` counts the keys it handed out."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys = sorted(keys)
        self.sent = 0

    def range_soon(
        self, key: bytes, end: bytes = b"", *, limit: int = 0, **_: Any
    ) -> Callable[[], wire.Page]:
        found = [each for each in self.keys if (key <= each < end if end else each == key)]
        page = found[:limit] if limit else found
        self.sent += len(page)
        size = 100 * len(page)
        return lambda: wire.Page(page, page, 7, len(page) < len(found), len(found), size, None)

    def range(self, key: bytes, end: bytes = b"", **options: Any) -> wire.Page:
        return self.range_soon(key, end, **options)()


def streamed(client: Etcd, shard: mapping.Mapping) -> list[bytes]:
    pages = etcd_keys.stream(cast(clients.Client, client), shard)
    return list(itertools.chain.from_iterable(page.keys for page in pages))


REST = st.binary(max_size=4).map(lambda rest: b"/t/" + rest)
DEEP = st.lists(st.sampled_from([b"a", b"b", b"a-", b"a0", b""]), max_size=4).map(
    lambda names: b"/t" + b"".join(b"/" + name for name in names)
)


@given(st.sets(REST | DEEP | st.sampled_from([b"/t", b"/t0", b"/t-"]), max_size=40), COUNTS)
def test_the_buckets_streams_are_the_whole_stream_split(keys: set[bytes], count: int) -> None:
    patched = pytest.MonkeyPatch()
    patched.setattr(etcd_keys, "_FIRST_PAGE", 3)
    patched.setattr(etcd_keys, "_LARGEST_PAGE", 4)
    try:
        whole = streamed(Etcd(list(keys)), mapping.Mapping("/s", "/t"))
        split = [streamed(Etcd(list(keys)), shard) for shard in parts(count)]
    finally:
        patched.undo()
    assert sorted(itertools.chain.from_iterable(split)) == whole
    for shard, each in zip(parts(count), split, strict=True):
        assert each == sorted(each)
        assert all(shard.owns_key(key) for key in each)


def test_a_large_child_of_another_bucket_is_skipped() -> None:
    keys = [b"/t", *(b"/t/a/%05d" % number for number in range(20_000)), b"/t/com.foo.Bar"]
    first, second = parts(2)
    client = Etcd(keys)
    assert streamed(client, first) == [b"/t", b"/t/com.foo.Bar"]
    assert client.sent < 1000
    assert streamed(client, second) == keys[1:-1]
    assert etcd_keys.number(cast(clients.Client, client), first) == 2


def differences(
    nodes: Mapping[bytes, bytes], keys: Sequence[bytes], shard: mapping.Mapping
) -> tuple[set[bytes], set[bytes], plan.Counts]:
    """Of one shard: keys to be put, keys that only etcd has, and how many were compared."""
    walk = walks.walk(walks.Session(dict(nodes)), shard)
    counts = plan.Counts()
    stream = etcd_keys.stream(cast(clients.Client, Etcd(keys)), shard)
    found = list(plan.merge(walk, stream, counts))
    puts = {each.key for each in found if isinstance(each, plan.Write)}
    return puts, {each.key for each in found if isinstance(each, plan.Extra)}, counts


NAMES = st.lists(st.sampled_from(["a", "b", "a-b", "中", "x y"]), max_size=3)


@given(st.lists(NAMES, max_size=12), st.sets(DEEP, max_size=12), COUNTS)
def test_a_merge_never_yields_another_bucket_s_key(
    several: list[list[str]], keys: set[bytes], count: int
) -> None:
    nodes = {b"/s": b"root"}
    for names in several:
        for depth in range(1, len(names) + 1):
            nodes["/s/{}".format("/".join(names[:depth])).encode()] = b"v"
    wanted = {b"/t" + path[2:] for path in nodes}
    together: list[tuple[set[bytes], set[bytes], plan.Counts]] = []
    for shard in parts(count):
        puts, extras, counts = differences(nodes, list(keys), shard)
        assert all(shard.owns_key(key) for key in puts | extras)
        together.append((puts, extras, counts))
    assert set().union(*(puts for puts, _, _ in together)) == wanted
    assert set().union(*(extras for _, extras, _ in together)) == keys - wanted
    assert sum(counts.wanted for _, _, counts in together) == len(wanted)
    assert sum(counts.present for _, _, counts in together) == len(keys)


def test_a_walk_of_another_bucket_sees_the_root_and_does_not_emit_it() -> None:
    nodes = {b"/s": b"root", b"/s/a": b"", b"/s/a/x": b"", b"/s/com.foo.Bar": b""}
    for shard, mine in zip(
        parts(2), ([b"/t", b"/t/com.foo.Bar"], [b"/t/a", b"/t/a/x"]), strict=True
    ):
        walk = walks.walk(walks.Session(dict(nodes)), shard)
        assert list(itertools.chain.from_iterable(run.keys for run in walk)) == mine
        assert walk.root is not None
        assert walk.nodes == len(mine)


def test_a_root_that_may_not_be_read_is_in_doubt_for_every_bucket() -> None:
    for shard in parts(2):
        walk = walks.walk(walks.Session({b"/s": tree.Miss.NO_AUTH}), shard)
        keys = list(itertools.chain.from_iterable(run.keys for run in walk))
        assert keys == ([b"/t"] if shard.bucket == 0 else [])
        assert (walk.root, walk.opaque) == (None, 1)


# --- what the watch tells -------------------------------------------------------------------------


def test_an_event_makes_a_path_dirty_in_its_bucket_only_and_the_root_in_all() -> None:
    queues = [dirty_paths.Dirty(shard, 100, lambda: None) for shard in parts(2)]
    routes = watch_routes.Routes()
    for each in queues:
        routes.add(b"/s", each.event, lambda: None)
    for path in (b"/s", b"/s/a", b"/s/a/x", b"/s/com.foo.Bar", b"/other"):
        routes.tell(3, path)
    assert list(queues[0].take(10)) == [b"/s", b"/s/com.foo.Bar"]
    assert list(queues[1].take(10)) == [b"/s", b"/s/a", b"/s/a/x"]


def test_zookeeper_s_own_root_concerns_the_first_bucket_only() -> None:
    assert [shard.concerns(b"/") for shard in parts(3, "/", "/x")] == [True, False, False]


class _Sink(NamedTuple):
    got: list[bytes]

    def event(self, _kind: int, path: bytes) -> None:
        self.got.append(path)


def test_shards_of_one_root_come_and_go_one_by_one() -> None:
    routes = watch_routes.Routes()
    one, two = _Sink([]), _Sink([])
    doubts: list[str] = []
    sinks = {"one": one.event, "two": two.event}
    routes.add(b"/s", sinks["one"], lambda: doubts.append("one"))
    routes.add(b"/s", sinks["two"], lambda: doubts.append("two"))
    routes.add(b"/s", sinks["two"], lambda: doubts.append("two again"))
    routes.doubt()
    assert doubts == ["one", "two again"]
    routes.tell(1, b"/s/x")
    routes.remove(b"/s", sinks["one"])
    assert routes.roots == {b"/s"}
    routes.tell(1, b"/s/y")
    routes.remove(b"/s", sinks["two"])
    routes.remove(b"/s", sinks["two"])
    routes.tell(1, b"/s/z")
    assert (one.got, two.got) == ([b"/s/x"], [b"/s/x", b"/s/y"])
    assert routes.roots == frozenset()


# --- the guard, and the fence ---------------------------------------------------------------------


def test_a_bucket_has_its_part_of_the_limits() -> None:
    limits = mirroring.DeleteGuard(min_deletes=100, max_deletes=10_000, first_sync="apply")
    assert guard.share(limits, 1) is limits
    part = guard.share(limits, 3)
    assert (part.min_deletes, part.max_deletes) == (33, 3333)
    assert (part.max_ratio, part.first_sync) == (limits.max_ratio, "apply")


def fences(shard: messages.Shard) -> fence.Fence:
    client = clients.Client(connections.Etcd(), metrics.null())
    identity = messages.Identity("host-1a2b3c4d", "w0", 2, "http://127.0.0.1:9180")
    keys = records.Keys("zk2etcd/default")
    return fence.Fence(client, keys, fence.Lease(client, 10.0), identity, shard)


def owner(source: str, target: str, bucket: int, buckets: int) -> dict[str, Any]:
    shard = messages.Shard("x", source, target, (), bucket, buckets)
    return records.decode(fences(shard)._document(), b"owners/x")


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
    assert fence._intersect(owner(*other), mine) is intersects
    theirs = messages.Shard("y", other[0], other[1], (), other[2], other[3])
    assert fence._intersect(owner("/s", "/t", 0, 3), theirs) is intersects


@pytest.mark.parametrize("bucket", [None, -1, 3, "1", 1.5, True])
def test_an_owner_of_no_bucket_intersects_all(bucket: object) -> None:
    found = {**owner("/s", "/t", 1, 3), "bucket": bucket}
    mine = messages.Shard("y", "/s", "/t", (), 1, 3)
    assert fence._intersect(found, mine)


def test_the_owner_key_of_a_bucket_is_as_it_was_first_written() -> None:
    shard = messages.Shard("dubbo-0", "/dubbo", "/mirror/dubbo", (), 1, 3)
    mine = fences(shard)
    mine._epoch = 3
    assert mine._document() == (STORED / "owner-bucket").read_bytes()
