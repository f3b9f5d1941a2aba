"""The walk over many drawn trees: its order, completeness and bounds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st

from tests import walking
from tests.unit.workers import splits, walks
from zk2etcd import errors
from zk2etcd_workers import turn
from zk2etcd_workers.model import line, mapping, pacing, tree
from zk2etcd_workers.walk import glance, snapshot, trust
from zk2etcd_workers.zookeeper import protocol, session as sessions

SHARD = mapping.Mapping("/s", "/s")

NAMES = st.sampled_from(
    ["a", "b", "a!", "a-", "a-b", "a.b", "a0", "a/", "!", "-", "0", "中", "é", "a b", "a!b"]
).map(lambda name: name.replace("/", "~"))
TREES = st.lists(st.lists(NAMES, max_size=4), max_size=40)


def _nodes(lists: list[list[str]], root: str = "/s") -> walks.Paths:
    nodes: walks.Paths = {root.encode(): b"root"}
    for names in lists:
        for depth in range(1, len(names) + 1):
            path = "/".join((root.rstrip("/"), *names[:depth])).encode()
            nodes[path] = b"v" + path
    return nodes


@given(TREES, st.integers(0, 5), st.sampled_from(["/", "/t", "/s"]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_node_comes_once_in_the_byte_order_of_its_key(
    lists: list[list[str]], seed: int, target: str, known: bool
) -> None:
    nodes = _nodes(lists)
    session, shard = walks.Session(nodes, seed), mapping.Mapping("/s", target)
    walk = walks.walk(session, shard, largest=100 if known else None)
    emitted = walking.emitted(walk, shard)
    keys = [wanted.key for wanted in emitted]
    assert keys == sorted(keys)
    assert {wanted.path: wanted.value for wanted in emitted} == nodes
    assert len(keys) == len(nodes) == walk.nodes
    assert all(wanted.key == shard.key(wanted.path) for wanted in emitted)
    assert all(wanted.zxid == 7 for wanted in emitted)
    assert (walk.zxid, walk.opaque) == (session.zxid, 0)
    assert session.budget.used == 0


@given(TREES, st.integers(0, 3))
@settings(max_examples=50, deadline=None)
def test_from_the_root(lists: list[list[str]], seed: int) -> None:
    nodes = _nodes(lists, "/")
    reserved: walks.Paths = {b"/zookeeper": b"", b"/zookeeper/quota": b""}
    shard = mapping.Mapping("/", "/x")
    emitted = walking.emitted(walks.walk(walks.Session({**nodes, **reserved}, seed), shard), shard)
    assert {wanted.path for wanted in emitted} == nodes.keys()
    keys = [wanted.key for wanted in emitted]
    assert keys == sorted(keys)


@given(TREES, st.integers(0, 3), st.data())
@settings(max_examples=80, deadline=None)
def test_nodes_that_cannot_be_read_are_kept_and_those_that_are_gone_are_not(
    lists: list[list[str]], seed: int, data: st.DataObject
) -> None:
    nodes = _nodes(lists)
    inner = sorted(nodes.keys() - {b"/s"})
    if not inner:
        return
    denied = set(data.draw(st.lists(st.sampled_from(inner), max_size=3)))
    gone = set(data.draw(st.lists(st.sampled_from(inner), max_size=3))) - denied
    nodes |= dict.fromkeys(denied, tree.Miss.NO_AUTH) | dict.fromkeys(gone, tree.Miss.NO_NODE)
    hidden = {
        path for path in nodes if any(path.startswith(above + b"/") for above in denied | gone)
    }
    walk = walks.walk(walks.Session(nodes, seed), SHARD)
    emitted = {wanted.path: wanted.value for wanted in walking.emitted(walk, SHARD)}
    assert emitted.keys() == nodes.keys() - hidden - gone
    assert {path for path, value in emitted.items() if value is None} == denied - hidden
    assert walk.opaque == len(denied - hidden)


def test_a_root_that_is_missing_and_one_that_is_denied() -> None:
    walk = walks.walk(walks.Session({}), mapping.Mapping("/s", "/s"))
    assert walking.emitted(walk, SHARD) == []
    assert (walk.root, walk.opaque) == (None, 0)
    walk = walks.walk(walks.Session({b"/s": tree.Miss.NO_AUTH}), mapping.Mapping("/s", "/s"))
    assert walking.emitted(walk, SHARD) == [walking.Emitted(b"/s", None, b"/s", 0)]
    assert (walk.root, walk.opaque) == (None, 1)


def test_excluded_subtrees_are_not_read() -> None:
    nodes = _nodes([["a", "b"], ["ab", "c"], ["b"]])
    session = walks.Session(nodes)
    walk = walks.walk(session, mapping.Mapping("/s", "/s", ["/s/a"]))
    assert {wanted.path for wanted in walking.emitted(walk, SHARD)} == {
        b"/s",
        b"/s/ab",
        b"/s/ab/c",
        b"/s/b",
    }
    asked = {path for ops in session.requests for _, path in ops}
    assert not any(mapping.is_below(path, b"/s/a") for path in asked)


def test_ephemerals_left_out() -> None:
    nodes = _nodes([["a"], ["b"], ["c"]])
    owners = {b"/s/a": 77, b"/s/b": 0}
    walk = walks.walk(
        walks.Session(nodes, owners=owners), mapping.Mapping("/s", "/s"), skip_ephemeral=True
    )
    assert {wanted.path for wanted in walking.emitted(walk, SHARD)} == {b"/s", b"/s/b", b"/s/c"}


@pytest.mark.parametrize("size", [10, 100_000])
def test_reads_of_unknown_size_stay_within_the_budget(size: int) -> None:
    nodes: walks.Paths = {b"/s": b""}
    for parent in range(3):
        nodes[b"/s/p%d" % parent] = b""
        nodes |= {b"/s/p%d/%04d" % (parent, n): b"x" * size for n in range(400)}
    session = walks.Session(nodes)
    emitted = walking.emitted(walks.walk(session, SHARD), SHARD)
    assert len(emitted) == len(nodes)
    assert session.most_unknown <= pacing.WALK_IN_FLIGHT
    assert max(map(len, session.requests)) <= 256
    if size > 10_000:
        late = session.requests[-5:]
        assert max(map(len, late)) * size <= pacing.LARGE_ANSWERS, "large ones go few at a time"


def _reads(ops: Sequence[protocol.Op]) -> int:
    """How many of them read a node."""
    return sum(kind == protocol.GET_DATA for kind, _ in ops)


@given(TREES, st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_it_is_the_same_where_folders_are_trusted(lists: list[list[str]], seed: int) -> None:
    nodes = _nodes(lists)
    session = walks.Session(nodes, seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(trust, "_ENOUGH", 1)
        emitted = walking.emitted(walks.walk(session, SHARD, read_batch=3), SHARD)
    assert [wanted.path for wanted in emitted] == sorted(nodes)
    assert session.budget.used == 0


def _services(count: int) -> walks.Paths:
    nodes: walks.Paths = {b"/s": b""}
    for number in range(count):
        service = b"/s/%05d" % number
        nodes |= {service: b"", service + b"/providers": b""}
        nodes |= {service + b"/providers/%02d" % n: b"url" for n in range(8)}
    return nodes


def test_folders_of_a_kind_that_held_small_values_are_read_in_large_requests() -> None:
    session, nodes = walks.Session(_services(600)), _services(600)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert max(map(_reads, session.requests[:15])) <= 56
    assert max(map(_reads, session.requests)) > 200
    assert session.most_unknown <= pacing.WALK_IN_FLIGHT
    assert session.budget.used == 0


def test_folders_with_names_of_their_own_are_not_trusted_beside_small_ones() -> None:
    nodes: walks.Paths = {b"/s": b""}
    for number in range(2_000):
        nodes |= {b"/s/a%04d" % number: b""}
        nodes |= {b"/s/a%04d/%d" % (number, n): b"small" for n in range(5)}
    for number in range(20):
        nodes |= {b"/s/b%04d" % number: b""}
        nodes |= {b"/s/b%04d/%d" % (number, n): b"x" * 100_000 for n in range(20)}
    session = walks.Session(nodes)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert max(map(_reads, session.requests)) <= 56
    assert session.most_unknown <= pacing.WALK_IN_FLIGHT


def test_a_large_value_among_them_ends_that() -> None:
    nodes = _services(600)
    nodes[b"/s/00300/providers/00"] = b"x" * 20_000
    session = walks.Session(nodes)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    op = (protocol.GET_DATA, b"/s/00300/providers/00")
    at = next(at for at, ops in enumerate(session.requests) if op in ops)
    assert max(map(_reads, session.requests[: at + 1])) > 200
    # Some were under way, and with few reads at once many more requests follow.
    after = session.requests[at + 6 :]
    assert len(after) > 20
    assert max(map(_reads, after)) <= 56


def test_none_are_trusted_where_the_last_walk_met_a_large_value() -> None:
    nodes = _services(600)
    session = walks.Session(nodes)
    walk = walks.walk(session, SHARD, largest=pacing.KNOWN_SMALL + 1)
    assert len(walking.emitted(walk, SHARD)) == len(nodes)
    assert max(map(_reads, session.requests)) <= 56


def test_the_walk_after_one_that_broke_under_such_requests_makes_none() -> None:
    nodes = _services(600)
    session = walks.Session(nodes)
    session.breaks_at = (protocol.GET_DATA, b"/s/00500/providers/00")
    with pytest.raises(errors.SessionDoubt):
        list(walks.walk(session, SHARD))
    assert not session.may_trust
    session.breaks_at = session.error = None
    session.under_way, session.budget = [], pacing.Budget()
    asked = len(session.requests)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert max(map(_reads, session.requests[asked:])) <= 56


def test_no_more_is_under_way_than_the_line_carries() -> None:
    nodes: walks.Paths = {b"/s": b""}
    nodes |= {b"/s/%04d" % number: b"x" * 4_000 for number in range(600)}
    session = walks.Session(nodes)
    session.line.lost(10.0, 1.0)
    parts: list[float] = []

    class Watched(list[Any]):
        def append(self, asked: Any) -> None:
            super().append(asked)
            parts.append(sum(len(ops) * 4_080 for ops, *_ in self) / session.line.room)

    session.under_way = Watched()
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert 0.5 < max(parts) <= 1.0
    assert session.line.used(0.0) == 0


@pytest.mark.parametrize("seed", range(3))
def test_nor_is_a_folder_that_is_trusted_asked_for_while_the_line_is_full(seed: int) -> None:
    nodes = _services(600)
    session = walks.Session(nodes, seed)
    session.is_late = True
    session.line = line.Line(16 * 1024, 10.0)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert all(session.requests), "a request that asks for nothing"
    assert session.budget.used == 0


@pytest.mark.parametrize("many", [8, 16, 100])
@pytest.mark.parametrize("batch", [1, 3, 256])
def test_many_walks_side_by_side_get_through_folders_that_are_trusted(
    many: int, batch: int
) -> None:
    nodes = _services(200)
    session = walks.Session(nodes)
    walk = walks.walk(session, SHARD, walks=many, read_batch=batch)
    assert len(walking.emitted(walk, SHARD)) == len(nodes)


def test_requests_stay_below_the_servers_buffer() -> None:
    nodes: walks.Paths = {b"/s": b""}
    for number in range(100):
        long = b"/s/" + b"%03d" % number + b"n" * 17_000
        nodes |= {long: b"", long + b"/x": b""}
    session = walks.Session(nodes)
    assert len(walking.emitted(walks.walk(session, SHARD, largest=0), SHARD)) == len(nodes)
    for ops in session.requests:
        assert len(protocol.MultiRead(ops).serialize()) < 1_000_000


def test_a_huge_listing_travels_alone() -> None:
    nodes: walks.Paths = {b"/s": b"", b"/s/small": b"", b"/s/small/x": b"", b"/s/huge": b""}
    nodes |= {b"/s/huge/%05d" % number: b"" for number in range(10_001)}
    session = walks.Session(nodes)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert [(protocol.GET_CHILDREN, b"/s/huge")] in session.requests


def test_huge_listings_are_asked_for_one_at_a_time() -> None:
    nodes: walks.Paths = {b"/s": b""}
    for huge in (b"/s/a", b"/s/b", b"/s/c"):
        nodes |= {huge: b""} | {huge + b"/%05d" % number: b"" for number in range(10_001)}
    session = walks.Session(nodes)
    emitted = []
    for run in walks.walk(session, SHARD):
        emitted += run.keys
        under_way = [op for ops, *_ in session.under_way for op in ops]
        assert sum(kind == protocol.GET_CHILDREN for kind, _ in under_way) <= 1
    assert len(emitted) == len(nodes)


def test_a_connection_that_ends_at_a_huge_listing_is_not_tried_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The server may have ended of it, and so may the next one."""
    monkeypatch.setattr(pacing, "DANGEROUS_LISTING", 10_000)
    nodes: walks.Paths = {b"/s": b"", b"/s/huge": b""}
    nodes |= {b"/s/huge/%05d" % number: b"" for number in range(10_001)}
    session = walks.Session(nodes)
    session.breaks_at = (protocol.GET_CHILDREN, b"/s/huge")
    said = r"broke off, when it was to list the 10,001 children of /s/huge: .*request_timeout"
    with pytest.raises(errors.SessionDoubt, match=said):
        list(walks.walk(session, SHARD))
    session.breaks_at = session.error = None
    asked, used = len(session.requests), session.budget.used
    with pytest.raises(errors.ListingRests, match="not asked again yet to list the 10,001") as held:
        list(walks.walk(session, SHARD))
    assert 10 < held.value.rest <= 15
    later = session.requests[asked:]
    assert (protocol.GET_CHILDREN, b"/s/huge") not in [op for ops in later for op in ops]
    assert session.budget.used <= used, "no permit is lost"
    monkeypatch.setattr(session.caution, "rest", lambda _path, _now: 0.0)
    assert len(walking.emitted(walks.walk(session, SHARD), SHARD)) == len(nodes)
    assert session.caution.suspect() is None


def test_an_error_or_another_epoch_ends_the_walk() -> None:
    nodes = _nodes([["a"], ["b"]])
    session = walks.Session(nodes)
    session.error = errors.StaleRead("old")
    with pytest.raises(errors.StaleRead):
        list(walks.walk(session, mapping.Mapping("/s", "/s")))
    session = walks.Session(nodes)
    walk = walks.walk(session, mapping.Mapping("/s", "/s"))
    session.epoch += 1
    with pytest.raises(errors.SessionDoubt):
        list(walk)


def test_a_stop_ends_the_walk() -> None:
    session = walks.Session(_nodes([["a"]]))
    pulse = walks.Pulse(session)
    pulse.stop()
    walk = snapshot.Walk(cast(sessions.Session, session), mapping.Mapping("/s", "/s"), pulse)
    with pytest.raises(turn.Stopped):
        list(walk)


def test_a_walk_of_another_bucket_sees_the_root_and_does_not_emit_it() -> None:
    nodes = {b"/s": b"root", b"/s/a": b"", b"/s/a/x": b"", b"/s/com.foo.Bar": b""}
    for shard, mine in zip(
        splits.parts(2), ([b"/t", b"/t/com.foo.Bar"], [b"/t/a", b"/t/a/x"]), strict=True
    ):
        walk = walks.walk(walks.Session(dict(nodes)), shard)
        assert list(itertools.chain.from_iterable(run.keys for run in walk)) == mine
        assert walk.root is not None
        assert walk.nodes == len(mine)


def test_a_root_that_may_not_be_read_is_in_doubt_for_every_bucket() -> None:
    for shard in splits.parts(2):
        walk = walks.walk(walks.Session({b"/s": tree.Miss.NO_AUTH}), shard)
        keys = list(itertools.chain.from_iterable(run.keys for run in walk))
        assert keys == ([b"/t"] if shard.bucket == 0 else [])
        assert (walk.root, walk.opaque) == (None, 1)


@given(TREES, st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_a_root_that_was_just_read_is_not_read_again(lists: list[list[str]], seed: int) -> None:
    nodes = _nodes(lists)
    whole = walking.emitted(walks.walk(walks.Session(nodes, seed), SHARD), SHARD)
    known = _read(walks.Session(nodes, seed), b"/s")
    session = walks.Session(nodes, seed)
    seen = glance.Seen({(protocol.GET_DATA, b"/s"): known}, 9)
    walk = walks.walk(session, SHARD, seen=seen)
    assert walking.emitted(walk, SHARD) == whole
    asked = list(itertools.chain.from_iterable(session.requests))
    assert (protocol.GET_DATA, b"/s") not in asked
    assert (walk.nodes, walk.root) == (len(nodes), known)
    assert walk.zxid == max(session.zxid if asked else 0, 9)
    assert session.budget.used == 0


def _read(session: walks.Session, path: bytes) -> tree.Node:
    walk = walks.walk(session, mapping.Mapping(path.decode(), path.decode()))
    list(walk)
    assert walk.root is not None
    return walk.root
