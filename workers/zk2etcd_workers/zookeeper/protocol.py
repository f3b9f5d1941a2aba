"""Single requests, most of which kazoo lacks, on the wire of ZooKeeper 3.6 and later.

addWatch is opcode 106, multiRead opcode 22, getAllChildrenNumber opcode 104, checkWatches opcode 17
(ZooKeeper's ZooDefs.OpCode; jute records AddWatchRequest, MultiHeader, GetDataResponse,
GetChildrenResponse, CheckWatchesRequest).
The classes are shaped like kazoo's own requests (`type`, `serialize`, `deserialize`), so that its
queue carries them.
"""

from __future__ import annotations

import array
import struct
from collections.abc import Sequence
from typing import Any

from zk2etcd_workers.model import pacing, tree

GET_DATA = 4
GET_CHILDREN = 8
RECURSIVE = 1
ANY_WATCH = 3

Op = tuple[int, bytes]
"""(GET_DATA or GET_CHILDREN, path)"""

_INT = struct.Struct(">i")
# length of what follows, xid, type
_REQUEST = struct.Struct(">iii")
_MULTI_HEADER = struct.Struct(">iBi")
_HEADER_AND_INT = struct.Struct(">iBii")
# A Stat's ephemeralOwner and numChildren, then the next answer's type and number
_STAT_AND_HEAD = struct.Struct(">44xq4xi8xi5xi")
_EVENT = struct.Struct(">iii")

_HEADS = {kind: _MULTI_HEADER.pack(kind, 0, -1) for kind in (GET_DATA, GET_CHILDREN)}
_TERMINATOR = _MULTI_HEADER.pack(-1, 1, -1)
_NO_WATCH = b"\x00"
_USUAL_LENGTHS = 512
_BEFORE_PATHS = {
    kind: [_NO_WATCH + head + _INT.pack(length) for length in range(_USUAL_LENGTHS)]
    for kind, head in _HEADS.items()
}
"""What stands between the path before and one of so many bytes: a walk writes millions of them."""
_MISSES = {miss.value: miss for miss in tree.Miss}


class _OfPath:
    """A request that is a path and no more; its answer says nothing but that it was done."""

    type = 0

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.zxid = 0

    def serialize(self) -> bytes:
        return _INT.pack(len(self.path)) + self.path

    def deserialize(self, _buffer: bytes, _offset: int) -> Any:
        return True


class Exists(_OfPath):
    """Ask whether it is there; with a one-shot watch that sees it made, too. Every release knows
    it."""

    type = 3

    def __init__(self, path: bytes, *, watch: bool) -> None:
        super().__init__(path)
        self._watch = watch

    def serialize(self) -> bytes:
        return super().serialize() + (b"\x01" if self._watch else _NO_WATCH)


class AddWatch(_OfPath):
    """Ask for a persistent recursive watch on `path`; the node need not exist."""

    type = 106

    def serialize(self) -> bytes:
        return super().serialize() + _INT.pack(RECURSIVE)


class Sync(_OfPath):
    """Bring the connected server up to the leader's state when the leader saw this request."""

    type = 9


class CheckWatch(_OfPath):
    """Ask whether this session watches `path`, in any way. The answer tells whether; kazoo does not
    know the error by which it is denied, so the connection takes it for an answer."""

    type = 17
    NO_WATCHER = -121

    def __init__(self, path: bytes) -> None:
        super().__init__(path)
        self.stands = True

    def serialize(self) -> bytes:
        return super().serialize() + _INT.pack(ANY_WATCH)

    def deserialize(self, _buffer: bytes, _offset: int) -> list[bool]:
        return [True] if self.stands else []


class CountBelow(_OfPath):
    """Ask how many nodes there are below `path`, itself not counted. The server goes over its
    whole tree for it. The answer is a list of that one number."""

    type = 104

    def deserialize(self, buffer: bytes, offset: int) -> list[int]:
        return list(_INT.unpack_from(buffer, offset))


class MultiRead:
    """Many getData and getChildren reads in one request; each succeeds or misses on its own."""

    type = 22

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = ops
        self.zxid = 0
        self.size = self.answer = 0
        """In bytes: of the request, once it is sent, and of the answer, once it is there."""

    def serialize(self) -> bytes:
        before = _BEFORE_PATHS
        parts: list[bytes] = []
        for kind, path in self.ops:
            length = len(path)
            if length < _USUAL_LENGTHS:
                parts += (before[kind][length], path)
            else:
                parts += (_NO_WATCH, _HEADS[kind], _INT.pack(length), path)
        parts += (_NO_WATCH, _TERMINATOR)
        whole = b"".join(parts)[1:] if self.ops else _TERMINATOR
        self.size = len(whole)
        return whole

    def encode(self, xid: int) -> bytes:
        """The whole message: kazoo copies the request twice for it."""
        body = self.serialize()
        return _REQUEST.pack(len(body) + 8, xid, self.type) + body

    def deserialize(self, buffer: bytes, offset: int) -> list[tree.Result]:
        """One `tree.Result` for each op, in order."""
        return self.rows(buffer, offset)[:]

    def rows(self, buffer: bytes, offset: int) -> tree.Rows:
        """The same in columns, which cost half.

        :raises ValueError: that is not what was asked for.
        """
        self.answer = len(buffer)
        rows = tree.Rows([path for _, path in self.ops])
        value, told = rows.values.append, rows.told.append
        owns, has = rows.owners.append, rows.children.append
        stat_and_head = _STAT_AND_HEAD.unpack_from
        answered, _, _, number = _HEADER_AND_INT.unpack_from(buffer, offset)
        offset += 13
        for kind, _ in self.ops:
            if answered == GET_DATA and kind == GET_DATA:
                end = offset + number if number > 0 else offset
                value(buffer[offset:end])
                offset = end + tree.STAT_BYTES
                told(buffer[end:offset])
                try:
                    owner, children, answered, number = stat_and_head(buffer, end)
                except struct.error:
                    owner, children, answered, number = stat_and_head(*_last(buffer, end))
                owns(owner)
                has(children)
                offset += 13
                continue
            if answered == GET_CHILDREN and kind == GET_CHILDREN:
                listing, offset = names(buffer, offset, number)
                rows.lacks(listing)
            elif answered == -1:
                rows.lacks(_MISSES.get(number, tree.Miss.OTHER))
            else:
                raise ValueError(f"multiRead answered with type {answered} to type {kind}")
            try:
                answered, _, _, number = _HEADER_AND_INT.unpack_from(buffer, offset)
            except struct.error:
                answered, _, _, number = _HEADER_AND_INT.unpack_from(*_last(buffer, offset))
            offset += 13
        return rows


class ColumnRead(MultiRead):
    """One whose results are columns."""

    def deserialize(self, buffer: bytes, offset: int) -> tree.Rows:  # type: ignore[override]
        return self.rows(buffer, offset)


def _last(buffer: bytes, offset: int) -> tuple[bytes, int]:
    """Where to read what stands at the end: the terminator is four bytes shorter than the header
    and number of a further answer. (To lengthen a buffer is to copy it, and it may be large.)"""
    return buffer[offset:] + b"\0\0\0\0", 0


def names(buffer: bytes, offset: int, count: int) -> tuple[tree.Listing, int]:
    """`count` strings from `offset` on, and where they end. Many are left where they are."""
    if count > pacing.LARGE_LISTING:
        return _packed(buffer, offset, count)
    found: list[bytes] = []
    length = _INT.unpack_from
    for _ in range(count):
        end = offset + 4 + length(buffer, offset)[0]
        found.append(buffer[offset + 4 : end])
        offset = end
    return found, offset


def _packed(buffer: bytes, offset: int, count: int) -> tuple[tree.Packed, int]:
    places = array.array("I")
    add, length = places.append, _INT.unpack_from
    for _ in range(count):
        add(offset + 4)
        offset += 4 + length(buffer, offset)[0]
    return tree.Packed(buffer, places), offset


def event(buffer: bytes, offset: int) -> tuple[int, bytes]:
    """(type, path) of a watch event: 1 created, 2 deleted, 3 data changed, 4 children changed."""
    kind, _, length = _EVENT.unpack_from(buffer, offset)
    start = offset + 12
    return kind, buffer[start : start + max(length, 0)]
