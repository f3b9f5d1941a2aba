"""The rule over single histories of a small ZooKeeper: no false alarm ever; and over forks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, strategies as st

from zk2etcd_workers.model import history, plan, tree

PATHS = [b"/r/a", b"/r/b", b"/r/c", b"/r/b/x", b"/r/b/y"]
ACTS = st.sampled_from(["create", "set", "delete"])
TXNS = st.lists(st.lists(st.tuples(ACTS, st.sampled_from(PATHS)), min_size=1, max_size=3))


@dataclasses.dataclass
class Store:
    """A DataTree: what each transaction does to zxids. One of several operations has one zxid."""

    zxid: int = 1
    nodes: dict[bytes, tree.Node] = dataclasses.field(
        default_factory=lambda: {b"/r": tree.Node(b"/r", b"", 1, 1, 0, 0, 0, 0, 1)}
    )

    def copy(self) -> Store:
        return Store(self.zxid, dict(self.nodes))

    def run(self, txn: Sequence[tuple[str, bytes]]) -> None:
        self.zxid += 1
        for act, path in txn:
            self._one(act, path)

    def _one(self, act: str, path: bytes) -> None:
        above = path.rpartition(b"/")[0]
        node = self.nodes.get(path)
        if act == "create" and node is None and above in self.nodes:
            self.nodes[path] = tree.Node(path, b"", self.zxid, self.zxid, 0, 0, 0, 0, self.zxid)
        elif act == "set" and node is not None:
            self.nodes[path] = node._replace(mzxid=self.zxid)
            return
        elif act == "delete" and node is not None and not self._has_children(path):
            del self.nodes[path]
        else:
            return
        self.nodes[above] = self.nodes[above]._replace(pzxid=self.zxid)

    def _has_children(self, path: bytes) -> bool:
        return any(each.startswith(path + b"/") for each in self.nodes)

    def read(self, path: bytes) -> tree.Node | tree.Miss:
        return self.nodes.get(path, tree.Miss.NO_NODE)


def written(store: Store, known: int, paths: Sequence[bytes]) -> list[history.Mark]:
    """The marks of these paths, read now by who had seen the zxid `known` before."""
    writes = []
    for path in paths:
        node = store.read(path)
        absent = plan.Write(path, None, path, known)
        writes.append(plan.put(path, node) if isinstance(node, tree.Node) else absent)
    return [mark for marks in history.chosen(writes).values() for mark in marks]


def refuted(store: Store, marks: Sequence[history.Mark]) -> list[history.Mark]:
    return [
        mark
        for mark in marks
        if history.is_refuted(
            mark, store.read(mark.path), store.read(mark.path.rpartition(b"/")[0])
        )
    ]


@given(st.data(), TXNS)
def test_in_one_history_no_mark_is_ever_refuted(
    data: st.DataObject, txns: Sequence[Sequence[tuple[str, bytes]]]
) -> None:
    store, marks, known = Store(), list[history.Mark](), 0
    for txn in txns:
        store.run(txn)
        if data.draw(st.booleans()):
            marks += written(store, known, data.draw(st.lists(st.sampled_from(PATHS))))
            known = data.draw(st.integers(known, store.zxid))
        assert not refuted(store, marks)


@given(TXNS, TXNS, st.integers(1, 2**33))
def test_what_a_fork_has_lost_is_noticed_as_long_as_nobody_touches_it(
    shared: Sequence[Sequence[tuple[str, bytes]]],
    lost: Sequence[Sequence[tuple[str, bytes]]],
    lifted: int,
) -> None:
    store = Store()
    for txn in shared:
        store.run(txn)
    other, marks = store.copy(), list[history.Mark]()
    for txn in lost:
        before = dict(store.nodes)
        store.run(txn)
        changed = [path for path in PATHS if before.get(path) != store.nodes.get(path)]
        marks += written(store, store.zxid, changed)
    other.zxid += lifted
    differs = [path for path in PATHS if _birth(store, path) != _birth(other, path)]
    assert bool(refuted(other, marks)) or not differs


def _birth(store: Store, path: bytes) -> tuple[int, int] | None:
    node = store.nodes.get(path)
    return None if node is None else (node.czxid, node.mzxid)


NODE = tree.Node(b"/r/a", b"", 5, 9, 0, 0, 0, 0, 5)


@pytest.mark.parametrize("miss", [tree.Miss.NO_AUTH, tree.Miss.OTHER])
def test_what_cannot_be_read_is_no_news(miss: tree.Miss) -> None:
    for mark in (history.Mark(b"/r/a", 9, 5), history.Mark(b"/r/a", 9, 0)):
        assert not history.is_refuted(mark, miss)
        assert not history.is_refuted(mark, tree.Miss.NO_NODE, miss)


def test_what_may_not_be_read_is_hidden() -> None:
    made, gone = history.Mark(b"/s/a", 7, 5), history.Mark(b"/s/a", 7, 0)
    denied, missing = tree.Miss.NO_AUTH, tree.Miss.NO_NODE
    assert history.is_hidden(made, denied)
    assert history.is_hidden(gone, denied)
    assert history.is_hidden(made, missing, denied)
    assert not history.is_hidden(gone, missing, denied), "it is gone, as it was"
    assert not history.is_hidden(made, missing, NODE)
    assert not history.is_hidden(made, NODE, denied)


def test_a_parent_that_nobody_told_of_proves_nothing() -> None:
    mark = history.Mark(b"/r/a", 9, 9)
    assert history.is_refuted(mark, tree.Miss.NO_NODE, NODE)
    assert not history.is_refuted(mark, tree.Miss.NO_NODE, NODE._replace(pzxid=0))
    assert not history.is_refuted(mark, tree.Miss.NO_NODE, NODE._replace(pzxid=9))
    assert not history.is_refuted(mark, tree.Miss.NO_NODE, tree.Miss.NO_NODE)


def test_the_latest_of_each_kind_are_chosen() -> None:
    puts = [
        plan.Write(b"/%d" % n, b"", b"/%d" % n, n, czxid=n if n % 2 else 1) for n in range(2, 40)
    ]
    gone = [plan.Write(b"/g", None, b"/g", 7), plan.Write(b"/none", None, b"/none", 0)]
    long = plan.Write(b"/k", b"", b"/" + b"k" * 2000, 99, czxid=99)
    found: Mapping[history.Kind, Sequence[history.Mark]] = history.chosen([*puts, *gone, long])
    assert {mark.zxid for mark in found["changed"]} == {38, 36, 34, 32}
    assert {mark.zxid for mark in found["created"]} == {39, 37, 35}
    assert found["gone"] == [history.Mark(b"/g", 7, 0)]
    for kind, marks in found.items():
        assert {history.kind(mark) for mark in marks} == {kind}


def _columns(nodes: Sequence[tree.Node | None]) -> tree.Nodes:
    nothing = [b""] * len(nodes)
    return tree.Nodes(nothing, nothing, nodes)


@given(TXNS, st.lists(st.integers(1, 5), max_size=20))
def test_a_walk_notes_what_changed_last(
    txns: Sequence[Sequence[tuple[str, bytes]]], sizes: Sequence[int]
) -> None:
    store, latest = Store(), history.Latest()
    for txn in txns:
        store.run(txn)
    nodes: list[tree.Node | None] = [None, *store.nodes.values()]
    for size in [*sizes, len(nodes)]:
        latest.saw(_columns(nodes[:size]))
        del nodes[:size]
    marks = latest.marks
    assert len(marks) == min(8, len(store.nodes))
    assert max(mark.zxid for mark in marks) == max(n.mzxid for n in store.nodes.values())
    assert not refuted(store, marks)


def test_a_walk_notes_only_what_tells() -> None:
    latest = history.Latest()
    old = [NODE._replace(path=b"/r/%d" % n, mzxid=n, czxid=n) for n in range(1, 40)]
    none = NODE._replace(path=b"/zookeeper", mzxid=99, czxid=0)
    latest.saw(_columns([none, NODE._replace(path=b"/" + b"k" * 2000, mzxid=99), *old[20:]]))
    latest.saw(_columns(old[:20]))
    assert [mark.zxid for mark in latest.marks] == list(range(32, 40))
