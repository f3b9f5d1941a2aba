"""What ZooKeeper said about one node, as plain values. Paths and data are bytes throughout: they
come from one wire and go to another, and decoding a million paths to look at none is waste."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple, overload

ROOT = b"/"


class Node(NamedTuple):
    """A readable znode. zxids as on the wire, `mtime` and `ctime` in milliseconds since 1970.
    `pzxid`: the last change of its list of children; 0 if nobody told."""

    path: bytes
    data: bytes
    czxid: int
    mzxid: int
    mtime: int
    owner: int
    children: int
    ctime: int = 0
    pzxid: int = 0


class Miss(enum.Enum):
    """Why a path was not read. Only NO_NODE is absence (I2)."""

    NO_NODE = -101
    NO_AUTH = -102
    OTHER = -1


class Packed(Sequence[bytes]):
    """The names of a long listing as they came: in the bytes of the answer, each behind its length.
    A million of them would be 250 MB as objects of Python."""

    __slots__ = ("_answer", "_places")
    _LENGTH = struct.Struct(">i")

    def __init__(self, answer: bytes, places: Sequence[int]) -> None:
        """:param places: where in `answer` each name begins, behind its length."""
        self._answer = answer
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[bytes]:
        return map(self._name, self._places)

    @overload
    def __getitem__(self, at: int) -> bytes: ...
    @overload
    def __getitem__(self, at: slice) -> list[bytes]: ...
    def __getitem__(self, at: int | slice) -> bytes | list[bytes]:
        if isinstance(at, slice):
            return [self._name(place) for place in self._places[at]]
        return self._name(self._places[at])

    def _name(self, place: int) -> bytes:
        (length,) = self._LENGTH.unpack_from(self._answer, place - 4)
        return self._answer[place : place + length]


Listing = list[bytes] | Packed
LISTINGS = (list, Packed)
Result = Node | Listing | Miss


def is_ephemeral(node: Node) -> bool:
    """Whether it ends with a session. Clients are shown the owner 0 for containers and TTL nodes
    (DataNode.copyStat, since 3.5.1 has them), so any other is a session's id; and that of a server
    with myid 255 begins with 0xff, as does the owner that a server keeps of a TTL node."""
    return node.owner != 0


def join(parent: bytes, name: bytes) -> bytes:
    """The path of a child; `/` has no doubled slash."""
    return parent + b"/" + name if parent != ROOT else b"/" + name


def shown(path: bytes) -> str:
    """A path for logs and status; bytes that are not UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace")
