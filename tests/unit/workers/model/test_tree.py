from __future__ import annotations

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
