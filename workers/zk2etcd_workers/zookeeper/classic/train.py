"""Plain reads of every ZooKeeper, many of them in one send, their answers taken as they come.

Each is a request of its own on the wire, with a one-shot watch that the read itself sets, so that
nothing can happen between the two. They go out together and are answered in their order; what one
costs us is then little more than its bytes (one by one through kazoo's queue: some 100 us each).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any

from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import failures, protocol

EXISTS = 3
GET_DATA, GET_CHILDREN = protocol.GET_DATA, protocol.GET_CHILDREN

OPS, BYTES = 64, 64 * 1024
"""What one train has at most."""

_INT = struct.Struct(">i")
# length xid type, length of the path
_REQUEST = struct.Struct(">iiii")
# length xid zxid error, then the first number of a good answer
_ANSWER = struct.Struct(">iiqii")
# Stat, of which: czxid mzxid ctime mtime ephemeralOwner numChildren pzxid
_STAT = struct.Struct(">qqqq12xq4xiq")
_FLAGS = {False: b"\x00", True: b"\x01"}
_WHOLE = 20


class Train:
    """Shaped like a request of kazoo's, but that it has `weight` xids. `results` is aligned with
    `ops`, as far as they are answered; `zxid` is the highest of the answers, `lowest` the first's.
    """

    type = 0

    def __init__(self, ops: Sequence[protocol.Op], *, watch: bool) -> None:
        self.ops = ops
        self.weight = len(ops)
        self.results: list[Any] = []
        self.zxid = 0
        self.lowest = 0
        self._watch = watch
        self._first = 0
        self._error: BaseException | None = None

    def encode(self, first: int) -> bytes:
        """All of it; `first` is the xid of the first one, the others count on from it."""
        self._first = first
        pack, flag = _REQUEST.pack, _FLAGS[self._watch]
        parts: list[bytes] = []
        for xid, (kind, path) in enumerate(self.ops, first):
            size = len(path)
            parts += (pack(size + 13, xid, kind, size), path, flag)
        return b"".join(parts)

    @property
    def is_answered(self) -> bool:
        return len(self.results) == self.weight

    @property
    def expected(self) -> int:
        """The xid of the next answer."""
        return self._first + len(self.results)

    def absorb(self, buffer: bytes, zxid: int) -> int:
        """Take the answers at the head of `buffer`: how many bytes they were. It stops at what is
        not whole, not the next answer, or from before `zxid`: those are for who knows connections.
        """
        unpack, add = _ANSWER.unpack_from, self.results.append
        xid, at, end = self.expected, 0, len(buffer)
        for kind, path in self.ops[len(self.results) :]:
            # A failed answer has no number: one at the very end of the buffer is left there.
            if at + _ANSWER.size > end:
                break
            length, answered, reached, error, number = unpack(buffer, at)
            after = at + 4 + length
            if after > end or answered != xid or reached < zxid:
                break
            if error:
                add(self._miss(error))
            elif kind == GET_DATA:
                add(_node(path, buffer, at + _WHOLE + 4, number))
            else:
                add(_other(kind, buffer, at + _WHOLE))
            self.lowest = self.lowest or reached
            zxid = self.zxid = reached
            xid, at = xid + 1, after
        return at

    def take(self, zxid: int, error: int, buffer: bytes, offset: int) -> None:
        """Take the one next answer, whose header was read already."""
        kind, path = self.ops[len(self.results)]
        self.lowest = self.lowest or zxid
        self.zxid = zxid
        if error:
            self.results.append(self._miss(error))
        elif kind == GET_DATA:
            (number,) = _INT.unpack_from(buffer, offset)
            self.results.append(_node(path, buffer, offset + 4, number))
        else:
            self.results.append(_other(kind, buffer, offset))

    def settle(self, result: Any) -> None:
        """All are answered: say so to kazoo's async result, or what is shaped like one."""
        if self._error is not None:
            result.set_exception(self._error)
        else:
            result.set(self.results)

    def _miss(self, code: int) -> tree.Miss:
        error = failures.of(code)
        miss = failures.miss(error)
        if miss is None:
            self._error = self._error or error
            return tree.Miss.OTHER
        return miss


def _node(path: bytes, buffer: bytes, start: int, length: int) -> tree.Node:
    end = start + length if length > 0 else start
    czxid, mzxid, ctime, mtime, owner, children, pzxid = _STAT.unpack_from(buffer, end)
    found = (path, buffer[start:end], czxid, mzxid, mtime, owner, children, ctime, pzxid)
    return tuple.__new__(tree.Node, found)


def _other(kind: int, buffer: bytes, offset: int) -> Any:
    """The names of the children; of one that was asked whether it is there, that it is."""
    if kind == EXISTS:
        return True
    (count,) = _INT.unpack_from(buffer, offset)
    return protocol.names(buffer, offset + 4, count)[0]


def cut(ops: Sequence[protocol.Op], most: int = OPS) -> Iterator[Sequence[protocol.Op]]:
    """These reads in pieces of the size of a train, of `most` reads."""
    start = size = 0
    for at, (_, path) in enumerate(ops):
        size += len(path)
        if at > start and (at - start >= most or size > BYTES):
            yield ops[start:at]
            start, size = at, len(path)
    if ops:
        yield ops[start:]
