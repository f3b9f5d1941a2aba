"""The merge against a model made of dicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, strategies as st

from tests.unit.workers import changes as of
from zk2etcd_workers.model import plan, tree

KEYS = st.binary(min_size=1, max_size=3)
VALUES = st.sampled_from([b"", b"1", b"2"])


def _node(key: bytes, value: bytes) -> tree.Node:
    return tree.Node(b"/" + key, value, 5, 7, 1, 0, 0)


def _run(wanted: dict[bytes, bytes | None], keys: list[bytes]) -> plan.Run:
    run = plan.Run()
    for key in keys:
        value = wanted[key]
        run.add(key, None if value is None else _node(key, value))
    return run


def _held(present: dict[bytes, bytes], keys: list[bytes]) -> plan.Held:
    return plan.Held(keys, [present[key] for key in keys])


def _pieces(keys: list[bytes], size: int) -> Iterator[list[bytes]]:
    """In pieces, one of them empty."""
    yield []
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


@given(
    st.dictionaries(KEYS, st.none() | VALUES),
    st.dictionaries(KEYS, VALUES),
    st.booleans(),
    st.integers(1, 4),
)
def test_the_merge_is_the_difference(
    wanted: dict[bytes, bytes | None], present: dict[bytes, bytes], similar: bool, pieces: int
) -> None:
    if similar:
        present |= {key: value for key, value in wanted.items() if value is not None}
    counts = plan.Counts()
    found = list(
        plan.merge(
            (_run(wanted, keys) for keys in _pieces(sorted(wanted), pieces)),
            (_held(present, keys) for keys in _pieces(sorted(present), pieces + 1)),
            counts,
        )
    )
    assert all(found)
    changes = of.each_of(found)
    assert [change.key for change in changes] == sorted({change.key for change in changes})
    puts = {change.key: change for change in changes if isinstance(change, plan.Write)}
    extras = {change.key for change in changes if isinstance(change, plan.Extra)}
    assert extras == present.keys() - wanted.keys()
    assert {key: put.value for key, put in puts.items()} == {
        key: value
        for key, value in wanted.items()
        if value is not None and present.get(key) != value
    }
    assert all((put.path, put.zxid) == (b"/" + put.key, 7) for put in puts.values())
    assert (counts.wanted, counts.present) == (len(wanted), len(present))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=5))
def test_the_writes_of_a_stretch_are_those_of_its_nodes(zxids: list[tuple[int, int]]) -> None:
    run = plan.Run()
    for at, (czxid, mzxid) in enumerate(zxids):
        run.add(b"k%d" % at, tree.Node(b"/%d" % at, b"v", czxid, mzxid, 1, 0, 0))
        run.add(b"k%d-" % at, None)
    nodes = zip(run.keys[::2], run.nodes[::2], strict=True)
    expected = [plan.put(key, node, born=node.czxid) for key, node in nodes if node is not None]
    assert of.each_of(plan.merge([run], [], plan.Counts())) == expected


def test_nothing_is_planned_before_it_is_known() -> None:
    """The walk may end in an error: what it did not show must not become an extra by then."""

    def broken() -> Iterator[plan.Run]:
        yield _run({b"b": b"1"}, [b"b"])
        raise ConnectionError

    seen: list[list[plan.Write] | plan.Extra] = []
    present = [plan.Held((b"a", b"c"), (b"1", b"1")), plan.Held((b"d",), (b"1",))]
    with pytest.raises(ConnectionError):
        seen.extend(plan.merge(broken(), present, plan.Counts()))
    assert plan.Extra(b"c") not in seen
    assert plan.Extra(b"d") not in seen


def test_paths_are_kept_beside_keys_once_they_differ() -> None:
    run = plan.Run()
    run.add(b"/s", tree.Node(b"/s", b"1", 1, 1, 0, 0, 0))
    run.add_all([b"/s/a"], None, [b"2"], [tree.Node(b"/s/a", b"2", 2, 2, 0, 0, 0)])
    assert run.paths is run.keys
    run.add(b"/t/b", tree.Node(b"/s/b", b"3", 3, 3, 0, 0, 0))
    run.add(b"/t/c", None)
    run.add_all([b"/t/d"], [b"/s/d"], [b"4"], [tree.Node(b"/s/d", b"4", 4, 4, 0, 0, 0)])
    run.add_all([b"/e"], None, [b"5"], [tree.Node(b"/e", b"5", 5, 5, 0, 0, 0)])
    assert run.keys == [b"/s", b"/s/a", b"/t/b", b"/t/c", b"/t/d", b"/e"]
    assert run.paths == [b"/s", b"/s/a", b"/s/b", b"/t/c", b"/s/d", b"/e"]
    (writes,) = plan.merge([run], [], plan.Counts())
    assert isinstance(writes, list)
    assert [write.path for write in writes] == [b"/s", b"/s/a", b"/s/b", b"/s/d", b"/e"]


def test_keys_that_only_etcd_has_are_counted() -> None:
    keys = [b"%d" % at for at in range(6)]
    counts = plan.Counts()
    held = plan.Held(keys, keys)
    extra = list(plan.merge([_run({keys[2]: keys[2]}, [keys[2]])], [held, held], counts))
    assert len(extra) == counts.extra == 11
    assert (counts.wanted, counts.present) == (1, 12)
