"""Against bytes written by hand from the wire formats of ZooKeeper 3.6."""

from __future__ import annotations

import struct

import pytest

from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import protocol

TERMINATOR = bytes.fromhex("ffffffff 01 ffffffff")


def _ustring(text: bytes) -> bytes:
    return struct.pack(">i", len(text)) + text


def _stat(czxid: int, mzxid: int, mtime: int, owner: int, children: int, length: int) -> bytes:
    """Stat: czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength
    numChildren pzxid."""
    return struct.pack(
        ">qqqqiiiqiiq", czxid, mzxid, 111, mtime, 7, 8, 9, owner, length, children, 999
    )


def _data(data: bytes | None, stat: bytes) -> bytes:
    head = struct.pack(">i?i", 4, False, 0)
    return head + (struct.pack(">i", -1) if data is None else _ustring(data)) + stat


def _children(names: list[bytes]) -> bytes:
    head = struct.pack(">i?i", 8, False, 0)
    return head + struct.pack(">i", len(names)) + b"".join(_ustring(name) for name in names)


def _error(code: int) -> bytes:
    return struct.pack(">i?ii", -1, False, code, code)


def test_add_watch() -> None:
    request = protocol.AddWatch(b"/a")
    assert request.type == 106
    assert request.serialize() == bytes.fromhex("00000002 2f61 00000001")


def test_sync() -> None:
    request = protocol.Sync(b"/a")
    assert (request.type, request.serialize()) == (9, bytes.fromhex("00000002 2f61"))


def test_multi_read_request() -> None:
    request = protocol.MultiRead([(4, b"/a"), (8, "/中".encode())])
    assert request.type == 22
    assert request.serialize() == (
        bytes.fromhex("00000004 00 ffffffff 00000002 2f61 00")
        + bytes.fromhex("00000008 00 ffffffff 00000004 2fe4b8ad 00")
        + TERMINATOR
    )


@pytest.mark.parametrize("length", [1, 2, 511, 512, 70_000])
def test_a_bulk_read_is_written_alike_for_paths_of_any_length(length: int) -> None:
    paths = [b"/a", b"/".ljust(length, b"x"), b"/"]
    request = protocol.MultiRead([(protocol.GET_DATA, path) for path in paths])
    head = bytes.fromhex("00000004 00 ffffffff")
    wanted = [head + len(path).to_bytes(4, "big") + path + b"\0" for path in paths]
    assert request.serialize() == b"".join(wanted) + bytes.fromhex("ffffffff 01 ffffffff")
    assert request.size == len(request.serialize())


def test_a_bulk_read_of_nothing() -> None:
    assert protocol.MultiRead([]).serialize() == bytes.fromhex("ffffffff 01 ffffffff")


def test_multi_read_reply() -> None:
    paths = [b"/a", b"/none", b"/gone", b"/secret", b"/what", b"/empty"]
    ops = [(4, path) for path in paths]
    ops[3:3] = [(8, b"/a"), (8, b"/childless"), (8, b"/denied")]
    reply = (
        _data(b"value", _stat(5, 2**40, 1_700_000_000_000, -5, 3, 5))
        + _data(None, _stat(1, 1, 0, 0, 0, 0))
        + _error(-101)
        + _children([b"x", "中".encode(), b""])
        + _children([])
        + _error(-102)
        + _error(-102)
        + _error(-4242)
        + _data(b"", _stat(1, 2, 3, 4, 5, 0))
        + TERMINATOR
    )
    before = b"\1\2\3"
    assert protocol.MultiRead(ops).deserialize(before + reply, len(before)) == [
        tree.Node(b"/a", b"value", 5, 2**40, 1_700_000_000_000, -5, 3, 111, 999),
        tree.Node(b"/none", b"", 1, 1, 0, 0, 0, 111, 999),
        tree.Miss.NO_NODE,
        [b"x", "中".encode(), b""],
        [],
        tree.Miss.NO_AUTH,
        tree.Miss.NO_AUTH,
        tree.Miss.OTHER,
        tree.Node(b"/empty", b"", 1, 2, 3, 4, 5, 111, 999),
    ]


def test_an_answer_of_another_kind_is_no_answer() -> None:
    with pytest.raises(ValueError, match="answered with type 8 to type 4"):
        protocol.MultiRead([(4, b"/a")]).deserialize(_children([b"x"]) + TERMINATOR, 0)


def test_a_reply_that_was_cut_off_is_no_answer() -> None:
    reply = _data(b"value", _stat(1, 1, 0, 0, 0, 5)) + TERMINATOR
    with pytest.raises(struct.error):
        protocol.MultiRead([(4, b"/a")]).deserialize(reply[:40], 0)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_events(kind: int) -> None:
    buffer = b"xx" + struct.pack(">ii", kind, 3) + _ustring("/a/é".encode())
    assert protocol.event(buffer, 2) == (kind, "/a/é".encode())


def test_an_event_without_a_path() -> None:
    assert protocol.event(struct.pack(">iii", -1, 3, -1), 0) == (-1, b"")


def test_check_watch() -> None:
    request = protocol.CheckWatch(b"/a")
    assert request.type == 17
    assert request.serialize() == bytes.fromhex("00000002 2f61 00000003")
    assert request.deserialize(b"", 0) == [True]
    request.stands = False
    assert request.deserialize(b"", 0) == []


def test_a_long_listing_stays_in_the_answer() -> None:
    names = [b"n%d" % number for number in range(10_001)]
    request = protocol.MultiRead([(8, b"/wide"), (8, b"/small")])
    answer = b"head" + _children(names) + _children([b"x"]) + TERMINATOR
    long, small = request.deserialize(answer, 4)
    assert isinstance(long, tree.Packed)
    assert list(long) == names
    assert small == [b"x"]
