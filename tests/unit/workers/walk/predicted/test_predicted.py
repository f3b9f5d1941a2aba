"""What etcd has, read without listing it, and whether that is all: the same is found as by a walk
that lists everything."""

from __future__ import annotations

import itertools
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st

from tests.unit.workers import etcd_of_keys, walks
from zk2etcd_workers.etcd import client as clients
from zk2etcd_workers.model import mapping, pacing, plan, tree
from zk2etcd_workers.walk import beside, etcd_keys
from zk2etcd_workers.walk.predicted import echo, points, walk as predicted
from zk2etcd_workers.zookeeper import protocol, session as sessions

NAMES = st.sampled_from(["a", "a-b", "a0", "b", "b.c", "z"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/".join(["/s", *names]).encode())
FOREIGN = st.sampled_from([b"/t/a//b", b"/t/b/", b"/t/a/../c", b"/t/\x01"])
MANY = 10**6


def _tree(paths: set[bytes], denied: set[bytes]) -> walks.Paths:
    """These, and all above them; of the denied ones no more is known than that they are there."""
    nodes: walks.Paths = {b"/s": b"/s"}
    for path in paths:
        names = path.split(b"/")
        for count in range(3, len(names) + 1):
            nodes[b"/".join(names[:count])] = b"/".join(names[:count])
    return {path: tree.Miss.NO_AUTH if path in denied else value for path, value in nodes.items()}


def _found(
    session: walks.Session,
    keys: set[bytes],
    shard: mapping.Mapping,
    *,
    many: int,
) -> tuple[list[plan.Write | plan.Extra], Any]:
    """What differs, and what the walk counted."""
    pulse = walks.Pulse(session)
    walk = predicted.Walk(cast(sessions.Session, session), shard, pulse, largest=10)
    client, counts = cast(clients.Client, etcd_of_keys.Etcd(sorted(keys))), plan.Counts()
    reader = walk.beside(etcd_keys.Reader(client, shard), many)
    assert isinstance(reader, echo.Echo) == bool(many)
    rows: list[plan.Write | plan.Extra] = []
    for each in beside.differences(walk, reader, 1, counts):
        rows += [each] if isinstance(each, plan.Extra) else each
    told = walk.nodes, walk.root, sorted(walk.opaque_sample), counts.wanted, counts.present
    return rows, (*told, walk.read)


@given(
    there=st.sets(PATHS, max_size=25),
    also=st.sets(PATHS, max_size=12),
    lost=st.sets(PATHS, max_size=12),
    foreign=st.sets(FOREIGN, max_size=2),
    target=st.sampled_from(["/s", "/t"]),
    has_root=st.booleans(),
    page=st.integers(1, 9),
    wanted=st.sampled_from([1, 5, 3_600]),
    held=st.sampled_from([2, 8_192]),
    seed=st.integers(0, 9),
)
@settings(max_examples=300, deadline=None)
def test_it_finds_what_a_walk_finds(
    there: set[bytes],
    also: set[bytes],
    lost: set[bytes],
    foreign: set[bytes],
    target: str,
    has_root: bool,
    page: int,
    wanted: int,
    held: int,
    seed: int,
) -> None:
    shard = mapping.Mapping("/s", target)
    nodes = _tree(there, set())
    keys = {shard.key(path) for path in (nodes.keys() | _tree(also, set()).keys()) - lost}
    if not has_root:
        keys.discard(shard.target)
    if target == "/t":
        keys |= foreign
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FIRST_PAGE", "_LARGEST_PAGE"):
            patch.setattr(etcd_keys, name, page)
        patch.setattr(etcd_keys, "_LEAST_PAGE", 1)
        patch.setattr(points, "WANTED", wanted)
        patch.setattr(pacing, "_HELD_NODES", held)
        listed = _found(walks.Session(nodes, seed), keys, shard, many=0)
        session = walks.Session(nodes, seed)
        read = _found(session, keys, shard, many=MANY)
    assert read == listed
    assert session.budget.used == 0


def test_what_etcd_has_is_not_listed() -> None:
    paths = {b"/s/%03d/%02d" % (folder, at) for folder in range(40) for at in range(20)}
    nodes = _tree(paths, set())
    session = walks.Session(nodes)
    found, told = _found(session, set(nodes), mapping.Mapping("/s", "/s"), many=predicted.MANY)
    assert not found
    assert told[0] == len(nodes) == told[-1]
    asked = list(itertools.chain.from_iterable(session.requests))
    assert sum(kind == protocol.GET_DATA for kind, _ in asked) == len(nodes)
    lists = [path for kind, path in asked if kind == protocol.GET_CHILDREN]
    assert len(lists) < 12


@pytest.mark.parametrize("denied", [b"/s/a", b"/s/a/b", b"/s/a-b"])
def test_what_may_not_be_read_stays_as_it_is(denied: bytes) -> None:
    """A walk that lists everything stops there; here what etcd has below it is seen, too."""
    nodes = _tree({b"/s/a/b/c", b"/s/a-b", b"/s/b"}, {denied})
    session = walks.Session(nodes)
    found, told = _found(session, set(nodes), mapping.Mapping("/s", "/s"), many=MANY)
    assert not found
    assert told[2] == [denied]
    assert told[3:5] == (len(nodes), len(nodes))


@pytest.mark.parametrize(
    "shard",
    [
        mapping.Mapping("/s", "/s", exclude=["/s/a"]),
        mapping.Mapping("/s", "/s", bucket=1, buckets=2),
        mapping.Mapping("/s", "/s", only=["/s/*/b"]),
        mapping.Mapping("/", "/s"),
        mapping.Mapping("/s", "/"),
    ],
)
def test_where_not_all_is_wanted_everything_is_listed(shard: mapping.Mapping) -> None:
    session = walks.Session({b"/s": b""})
    _asks(session, shard, predicts=False)


def test_old_servers_are_asked_for_each_list() -> None:
    session = walks.Session({b"/s": b""})
    session.protocol = "classic"
    _asks(session, mapping.Mapping("/s", "/s"), predicts=False)
    session.protocol = "bulk"
    _asks(session, mapping.Mapping("/s", "/s"), predicts=True)
    _asks(session, mapping.Mapping("/s", "/s"), predicts=False, skip_ephemeral=True)


def _asks(
    session: walks.Session, shard: mapping.Mapping, *, predicts: bool, **options: Any
) -> None:
    at = cast(sessions.Session, session)
    walk = predicted.Walk(at, shard, walks.Pulse(session), **{"largest": 10, **options})
    pages = etcd_keys.Reader(cast(clients.Client, etcd_of_keys.Etcd([])), shard)
    assert isinstance(walk.beside(pages, MANY), echo.Echo) == predicts


@pytest.mark.parametrize("largest", [None, pacing.KNOWN_SMALL + 1])
def test_large_values_may_be_in_etcd_too(largest: int | None) -> None:
    """Whose pages are bounded by the number of their keys alone."""
    session = walks.Session({b"/s": b""})
    _asks(session, mapping.Mapping("/s", "/s"), predicts=False, largest=largest)


@pytest.mark.parametrize(("largest", "most"), [(10, 5_200), (pacing.KNOWN_SMALL, 1_008)])
def test_pages_are_small_where_values_may_not_be(largest: int, most: int) -> None:
    keys = {b"/s/%05d" % at for at in range(12_000)}
    nodes: walks.Paths = {b"/s": b""}
    nodes.update(dict.fromkeys(keys, b"v"))
    session = walks.Session(nodes)
    client = etcd_of_keys.Etcd([])
    client.keys = sorted(keys)
    shard = mapping.Mapping("/s", "/s")
    at = cast(sessions.Session, session)
    walk = predicted.Walk(at, shard, walks.Pulse(session), largest=largest)
    reader = walk.beside(etcd_keys.Reader(cast(clients.Client, client), shard), len(keys))
    for _ in beside.differences(walk, reader, 1, plan.Counts()):
        pass
    assert most // 2 < max(client.sizes) // 100 <= most


def test_much_below_one_key_that_etcd_lacks_is_still_compared() -> None:
    """More than is read ahead: what etcd has goes on while that is being read."""
    nodes: walks.Paths = {path: path for path in (b"/s", b"/s/a", b"/s/z")}
    for folder in range(60):
        above = b"/s/a/f%04d" % folder
        nodes[above] = above
        nodes.update({path: path for path in (b"%s/n%04d" % (above, at) for at in range(500))})
    orphans = {b"/s/a/f%04d/n0100x" % folder for folder in range(60)}
    keys = (set(nodes) - {b"/s/a"}) | orphans
    session = walks.Session(nodes)
    found, _ = _found(session, keys, mapping.Mapping("/s", "/s"), many=len(keys))
    assert [each.key for each in found if isinstance(each, plan.Write)] == [b"/s/a"]
    assert {each.key for each in found if isinstance(each, plan.Extra)} == orphans


def test_what_etcd_has_behind_all_is_read_without_its_values() -> None:
    nodes: walks.Paths = {b"/s": b"", b"/s/a": b"", b"/s/a/b": b""}
    behind = [b"/s/z%03d" % at for at in range(300)]
    client = etcd_of_keys.Etcd([*nodes, *behind])
    values: list[bool] = []
    soon = client.range_soon

    def range_soon(key: bytes, end: bytes = b"", **options: Any) -> Any:
        values.extend([not options.get("keys_only")] * (behind[0] in (key, end) or end > behind[0]))
        return soon(key, end, **options)

    client.range_soon = range_soon  # type: ignore[method-assign]
    session, shard, counts = walks.Session(nodes), mapping.Mapping("/s", "/s"), plan.Counts()
    at = cast(sessions.Session, session)
    walk = predicted.Walk(at, shard, walks.Pulse(session), largest=10)
    reader = walk.beside(etcd_keys.Reader(cast(clients.Client, client), shard), MANY)
    found = list(beside.differences(walk, reader, 1, counts))
    assert [each.key for each in found if isinstance(each, plan.Extra)] == behind
    assert values
    assert not any(values)
