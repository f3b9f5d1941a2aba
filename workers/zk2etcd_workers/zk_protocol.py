"""The requests that kazoo lacks, on the wire of ZooKeeper 3.6 and later.

addWatch is opcode 106, multiRead opcode 22 (ZooKeeper's ZooDefs.OpCode; jute records
AddWatchRequest, MultiHeader, GetDataResponse, GetChildrenResponse). The classes are shaped like
kazoo's own requests (`type`, `serialize`, `deserialize`), so that its queue carries them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from zk2etcd_workers import tree

GET_DATA = 4
GET_CHILDREN = 8
RECURSIVE = 1

Op = tuple[int, bytes]
"""(GET_DATA or GET_CHILDREN, path)"""

_INT = struct.Struct(">i")
_MULTI_HEADER = struct.Struct(">iBi")
_HEADER_AND_INT = struct.Struct(">iBii")
_STAT = struct.Struct(">qq8xq12xq4xi8x")  # czxid mzxid mtime ephemeralOwner numChildren
_EVENT = struct.Struct(">iii")

_HEADS = {kind: _MULTI_HEADER.pack(kind, 0, -1) for kind in (GET_DATA, GET_CHILDREN)}
_TERMINATOR = _MULTI_HEADER.pack(-1, 1, -1)
_NO_WATCH = b"\x00"
_MISSES = {miss.value: miss for miss in tree.Miss}


class AddWatch:
    """Ask for a persistent recursive watch on `path`; the node need not exist."""

    type = 106

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.zxid = 0

    def serialize(self) -> bytes:
        return _INT.pack(len(self.path)) + self.path + _INT.pack(RECURSIVE)

    @classmethod
    def deserialize(cls, _buffer: bytes, _offset: int) -> bool:
        return True


class Sync:
    """Bring the connected server up to the leader's state when the leader saw this request."""

    type = 9

    def __init__(self, path: bytes) -> None:
        self.path = path
        self.zxid = 0

    def serialize(self) -> bytes:
        return _INT.pack(len(self.path)) + self.path

    @classmethod
    def deserialize(cls, _buffer: bytes, _offset: int) -> bool:
        return True


class MultiRead:
    """Many getData and getChildren reads in one request; each succeeds or misses on its own."""

    type = 22

    def __init__(self, ops: Sequence[Op]) -> None:
        self.ops = ops
        self.zxid = 0

    def serialize(self) -> bytes:
        pack = _INT.pack
        parts: list[bytes] = []
        for kind, path in self.ops:
            parts += (_HEADS[kind], pack(len(path)), path, _NO_WATCH)
        parts.append(_TERMINATOR)
        return b"".join(parts)

    def deserialize(self, buffer: bytes, offset: int) -> list[tree.Result]:
        """One `tree.Result` for each op, in order."""
        results: list[tree.Result] = []
        add = results.append
        head = _HEADER_AND_INT.unpack_from
        stat = _STAT.unpack_from
        new = tuple.__new__
        node = tree.Node
        for kind, path in self.ops:
            answered, _, _, number = head(buffer, offset)
            offset += 13
            if answered == GET_DATA and kind == GET_DATA:
                end = offset + number if number > 0 else offset
                czxid, mzxid, mtime, owner, children = stat(buffer, end)
                data = buffer[offset:end]
                add(new(node, (path, data, czxid, mzxid, mtime, owner, children)))
                offset = end + 68
            elif answered == GET_CHILDREN and kind == GET_CHILDREN:
                names, offset = _names(buffer, offset, number)
                add(names)
            elif answered == -1:
                add(_MISSES.get(number, tree.Miss.OTHER))
            else:
                raise ValueError(f"multiRead answered with type {answered} to type {kind}")
        return results


def _names(buffer: bytes, offset: int, count: int) -> tuple[list[bytes], int]:
    names: list[bytes] = []
    length = _INT.unpack_from
    for _ in range(count):
        end = offset + 4 + length(buffer, offset)[0]
        names.append(buffer[offset + 4 : end])
        offset = end
    return names, offset


def event(buffer: bytes, offset: int) -> tuple[int, bytes]:
    """(type, path) of a watch event: 1 created, 2 deleted, 3 data changed, 4 children changed."""
    kind, _, length = _EVENT.unpack_from(buffer, offset)
    start = offset + 12
    return kind, buffer[start : start + max(length, 0)]
