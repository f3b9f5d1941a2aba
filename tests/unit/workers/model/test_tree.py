from __future__ import annotations

import itertools
import struct

import pytest

from zk2etcd_workers.model import tree


def _node(owner: int) -> tree.Node:
    return tree.Node(b"/a", b"", 1, 1, 0, owner, 0)


@pytest.mark.parametrize(
    ("owner", "ephemeral"),
    [
        (0, False),
        (0x1000_0000_0000_0001, True),
        (1, True),
        (-(2**63) + 1, True),  # a session of a server with myid 128
        (int.from_bytes(b"\xfe\x00\x00\x00\x00\x00\x00\x01", "big", signed=True), True),
        (int.from_bytes(b"\xff\x00\x00\x12\x34\x56\x00\x00", "big", signed=True), True),
    ],
)
def test_what_a_true_ephemeral_is(owner: int, ephemeral: bool) -> None:
    assert tree.is_ephemeral(_node(owner)) is ephemeral


def test_join() -> None:
    assert tree.join(b"/", b"a") == b"/a"
    assert tree.join(b"/a", b"b") == b"/a/b"


def test_only_no_node_is_absence() -> None:
    assert {miss: miss.value for miss in tree.Miss} == {
        tree.Miss.NO_NODE: -101,
        tree.Miss.NO_AUTH: -102,
        tree.Miss.OTHER: -1,
    }


def test_shown() -> None:
    assert tree.shown("/中".encode()) == "/中"
    assert tree.shown(b"/\xff") == "/\\xff"


STAT = struct.Struct(">qqqqiiiqiiq")
NODES = [
    tree.Node(b"/a", b"1", 5, 9, 17, 0, 2, 13, 8),
    tree.Node(b"/b", b"", 6, 2**40, 18, 77, 0, 14, 6),
    tree.Node(b"/c", b"333", 0, 0, 0, 0, 0, 0, 0),
]


def _stat(node: tree.Node) -> bytes:
    _, data, czxid, mzxid, mtime, owner, children, ctime, pzxid = node
    lengths = len(data), children
    return STAT.pack(czxid, mzxid, ctime, mtime, 1, 2, 3, owner, *lengths, pzxid)


def _columns(told: list[tree.Told]) -> tree.Nodes:
    values = [None if each is None else node.data for each, node in zip(told, NODES, strict=True)]
    return tree.Nodes([node.path for node in NODES], values, told)


@pytest.mark.parametrize("as_they_came", [*itertools.product([True, False], repeat=3)])
def test_a_node_is_the_same_made_now_or_later(as_they_came: tuple[bool, ...]) -> None:
    told = [_stat(node) if late else node for node, late in zip(NODES, as_they_came, strict=True)]
    columns = _columns(list(told))
    assert list(columns) == NODES
    assert [columns[at] for at in range(3)] == NODES
    assert list(columns[1:]) == NODES[1:]
    assert columns.zxids() == [(5, 9), (6, 2**40), (0, 0)]
    assert columns.changed_at() == 2**40


def test_what_cannot_be_read_is_none_among_them() -> None:
    columns = _columns([None, _stat(NODES[1]), None])
    assert list(columns) == [None, NODES[1], None]
    assert columns.zxids() == [(0, 0), (6, 2**40), (0, 0)]
    assert columns.changed_at() == 2**40
    assert _columns([None, None, None]).changed_at() == 0


def test_the_answer_in_columns_is_the_answer() -> None:
    results: list[tree.Result] = [NODES[0], tree.Miss.NO_NODE, [b"x", b"y"], NODES[2]]
    paths = [b"/a", b"/gone", b"/list", b"/c"]
    rows = tree.Rows.of(paths, results)
    assert list(rows) == rows[:] == results
    assert [rows[at] for at in range(-4, 4)] == results * 2
    assert rows[1:3] == results[1:3]
    assert rows[::2] == results[::2]
    assert len(rows) == 4
    assert (rows.children, rows.values) == ([2, 0, 0, 0], [b"1", b"", b"", b"333"])
