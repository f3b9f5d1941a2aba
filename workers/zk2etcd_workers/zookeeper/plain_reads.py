"""The plain reads of every ZooKeeper, with a one-shot watch each, on the wire.

Shaped like `protocol`'s requests. A watch is set by the read itself, so nothing can happen
between the two; it fires once, and a later read sets the next. Two of the same are one.
"""

from __future__ import annotations

import struct
from typing import ClassVar

from zk2etcd_workers.model import tree
from zk2etcd_workers.zookeeper import protocol

_INT = struct.Struct(">i")
# Stat, of which: czxid mzxid ctime mtime ephemeralOwner numChildren pzxid
_STAT = struct.Struct(">qqqq12xq4xiq")


class Read:
    """One read of `path`. `zxid` is its reply's; `op` is its name in the metrics."""

    type = 0
    op: ClassVar[str] = ""

    def __init__(self, path: bytes, *, watch: bool) -> None:
        self.path = path
        self.watch = watch
        self.zxid = 0

    def serialize(self) -> bytes:
        return _INT.pack(len(self.path)) + self.path + (b"\x01" if self.watch else b"\x00")


class GetData(Read):
    """Value and Stat; its watch sees a change of the value and the node's end."""

    type = protocol.GET_DATA
    op = "get"

    def deserialize(self, buffer: bytes, offset: int) -> tree.Node:
        (length,) = _INT.unpack_from(buffer, offset)
        end = offset + 4 + max(length, 0)
        czxid, mzxid, ctime, mtime, owner, children, pzxid = _STAT.unpack_from(buffer, end)
        data = bytes(buffer[offset + 4 : end])
        return tree.Node(self.path, data, czxid, mzxid, mtime, owner, children, ctime, pzxid)


class GetChildren(Read):
    """The names of the children; its watch sees one made or deleted, and the node's end."""

    type = protocol.GET_CHILDREN
    op = "list"

    def deserialize(self, buffer: bytes, offset: int) -> list[bytes]:
        (count,) = _INT.unpack_from(buffer, offset)
        return protocol.names(buffer, offset + 4, count)[0]


class Exists(Read):
    """Whether it is there; its watch sees it made, too."""

    type = 3
    op = "exists"

    @classmethod
    def deserialize(cls, _buffer: bytes, _offset: int) -> bool:
        return True
