"""Against bytes written by hand from the wire formats of ZooKeeper 3.4."""

from __future__ import annotations

import struct
from typing import Any

import kazoo.exceptions

from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper.classic import train

GET, LIST, EXISTS = train.GET_DATA, train.GET_CHILDREN, train.EXISTS
NO_NODE, NO_AUTH, EXPIRED = -101, -102, -112


def _frame(xid: int, zxid: int, error: int = 0, body: bytes = b"") -> bytes:
    whole = struct.pack(">iqi", xid, zxid, error) + body
    return struct.pack(">i", len(whole)) + whole


def _ustring(text: bytes) -> bytes:
    return struct.pack(">i", len(text)) + text


def _stat(owner: int = 0, children: int = 0) -> bytes:
    """Stat: czxid mzxid ctime mtime version cversion aversion ephemeralOwner dataLength
    numChildren pzxid."""
    return struct.pack(">qqqqiiiqiiq", 5, 6, 111, 222, 7, 8, 9, owner, 1, children, 999)


def _node(path: bytes, data: bytes, owner: int = 0, children: int = 0) -> tree.Node:
    return tree.Node(path, data, 5, 6, 222, owner, children, 111, 999)


class _Result:
    def __init__(self) -> None:
        self.got: Any = None

    def set(self, value: Any) -> None:
        self.got = value

    def set_exception(self, error: BaseException) -> None:
        self.got = error


OPS = [(GET, b"/a"), (GET, b"/gone"), (LIST, b"/a"), (EXISTS, b"/a"), (GET, b"/dark")]
ANSWERS = [
    _frame(7, 100, body=_ustring(b"v") + _stat(-5, 2)),
    _frame(8, 100, NO_NODE),
    _frame(9, 101, body=struct.pack(">i", 2) + _ustring(b"x") + _ustring("中".encode())),
    _frame(10, 102, body=_stat()),
    _frame(11, 102, NO_AUTH),
]
FOUND = [
    _node(b"/a", b"v", -5, 2),
    tree.Miss.NO_NODE,
    [b"x", "中".encode()],
    True,
    tree.Miss.NO_AUTH,
]


def test_each_read_is_a_request_of_its_own() -> None:
    request = train.Train([(GET, b"/a"), (LIST, "/中".encode())], watch=True)
    assert request.weight == 2
    assert request.encode(7) == (
        bytes.fromhex("0000000f 00000007 00000004 00000002 2f61 01")
        + bytes.fromhex("00000011 00000008 00000008 00000004 2fe4b8ad 01")
    )
    assert train.Train([(EXISTS, b"/a")], watch=False).encode(1)[-1:] == b"\0"


def _sent() -> train.Train:
    request = train.Train(OPS, watch=True)
    request.encode(7)
    return request


def test_answers_in_one_buffer() -> None:
    request, whole, result = _sent(), b"".join(ANSWERS), _Result()
    taken = request.absorb(whole, 99)
    # A failed one is shorter than the others: at the very end it is left to who reads one by one.
    assert whole[taken:] == ANSWERS[-1]
    assert (request.is_answered, request.expected) == (False, 11)
    request.take(102, NO_AUTH, b"", 0)
    assert request.is_answered
    assert (request.lowest, request.zxid) == (100, 102)
    request.settle(result)
    assert result.got == FOUND


def test_answers_in_pieces() -> None:
    """Whatever the network makes of it, taken as it comes or one by one."""
    whole = b"".join(ANSWERS)
    for cut in range(len(whole)):
        request = _sent()
        taken = request.absorb(whole[:cut], 0)
        taken += request.absorb(whole[taken:], request.zxid)
        assert whole[taken:] == ANSWERS[-1], cut
    request = _sent()
    for answer in ANSWERS:
        _, _, zxid, error = struct.unpack_from(">iiqi", answer)
        request.take(zxid, error, answer, 20)
    assert request.results == FOUND


def test_it_stops_at_what_is_not_its_own() -> None:
    event = _frame(-1, -1, body=struct.pack(">ii", 3, 3) + _ustring(b"/a"))
    request = _sent()
    assert request.absorb(ANSWERS[0] + event + ANSWERS[1], 0) == len(ANSWERS[0])
    assert request.absorb(event, 0) == 0
    assert request.absorb(ANSWERS[2] * 2, 0) == 0
    other = _frame(12, 103, body=_ustring(b"") + _stat())
    assert _sent().absorb(b"".join(ANSWERS) + other, 0) == sum(map(len, ANSWERS))


def test_it_stops_at_an_answer_from_an_earlier_time() -> None:
    assert _sent().absorb(b"".join(ANSWERS), 101) == 0


def test_an_answer_about_the_session_fails_all() -> None:
    request, result = train.Train([(GET, b"/a"), (GET, b"/b")], watch=False), _Result()
    request.encode(1)
    request.take(5, EXPIRED, b"", 0)
    answer = _ustring(b"") + _stat()
    request.take(5, 0, answer, 0)
    assert request.is_answered
    request.settle(result)
    assert isinstance(result.got, kazoo.exceptions.SessionExpiredError)


def test_a_train_is_bounded_by_number_and_by_bytes() -> None:
    ops = [(GET, b"/%d" % number) for number in range(train.OPS * 2 + 1)]
    assert [len(part) for part in train.cut(ops)] == [train.OPS, train.OPS, 1]
    large = [(GET, b"/" + b"x" * (train.BYTES // 2))] * 3
    assert [len(part) for part in train.cut(large)] == [1, 1, 1]
    assert list(train.cut([])) == []
