"""What ZooKeeper said about one node, as plain values. Paths and data are bytes throughout: they
come from one wire and go to another, and decoding a million paths to look at none is waste."""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast, overload

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


STAT_BYTES = 68
_STAT = struct.Struct(">qqqq12xq4xiq")
"""czxid mzxid ctime mtime ephemeralOwner numChildren pzxid"""
_CZXID_MZXID = struct.Struct(">qq52x")
_MZXID = slice(8, 16)

Told = Node | bytes | None
"""What is known of a node beside its path and value: all, or its Stat as it came, since mostly
nobody asks what is in it. None: it cannot be read."""


@overload
def node(path: bytes, data: bytes | None, told: Node | bytes) -> Node: ...
@overload
def node(path: bytes, data: bytes | None, told: Told) -> Node | None: ...
def node(path: bytes, data: bytes | None, told: Told) -> Node | None:
    """What these say."""
    if told is None or type(told) is Node:
        return told
    czxid, mzxid, ctime, mtime, owner, children, pzxid = _STAT.unpack(cast("bytes", told))
    columns = path, data or b"", czxid, mzxid, mtime, owner, children, ctime, pzxid
    return tuple.__new__(Node, columns)


class Nodes(Sequence[Node | None]):
    """Nodes in columns, each made when it is asked for. None is one that cannot be read."""

    __slots__ = ("_paths", "_told", "_values")

    def __init__(
        self, paths: Sequence[bytes], values: Sequence[bytes | None], told: Sequence[Told]
    ) -> None:
        self._paths, self._values, self._told = paths, values, told

    def __len__(self) -> int:
        return len(self._told)

    def __iter__(self) -> Iterator[Node | None]:
        return map(node, self._paths, self._values, self._told)

    @overload
    def __getitem__(self, at: int) -> Node | None: ...
    @overload
    def __getitem__(self, at: slice) -> Nodes: ...
    def __getitem__(self, at: int | slice) -> Node | Nodes | None:
        if isinstance(at, slice):
            return Nodes(self._paths[at], self._values[at], self._told[at])
        return node(self._paths[at], self._values[at], self._told[at])

    def zxids(self) -> list[tuple[int, int]]:
        """The czxid and mzxid of each; 0 where it cannot be read."""
        unpack = _CZXID_MZXID.unpack
        return [
            cast("tuple[int, int]", unpack(each))
            if type(each) is bytes
            else (each.czxid, each.mzxid)
            if type(each) is Node
            else (0, 0)
            for each in self._told
        ]

    def changed_at(self) -> int:
        """The highest mzxid; 0 if none can be read."""
        in_stats = [each[_MZXID] for each in self._told if type(each) is bytes]
        nodes = [each.mzxid for each in self._told if type(each) is Node]
        return max(int.from_bytes(max(in_stats, default=b"")), max(nodes, default=0))


class Rows(Sequence[Result]):
    """The answer to a bulk read, in columns. `others` is what is no node, by place; there is None
    in `told`, and nothing in the other columns."""

    __slots__ = ("children", "others", "owners", "paths", "told", "values")

    def __init__(self, paths: Sequence[bytes]) -> None:
        self.paths = paths
        self.values: list[bytes] = []
        self.told: list[Told] = []
        self.owners: list[int] = []
        self.children: list[int] = []
        self.others: dict[int, Listing | Miss] = {}

    @classmethod
    def of(cls, paths: Sequence[bytes], results: Sequence[Result]) -> Rows:
        """What is there as results already."""
        rows = cls(paths)
        for found in results:
            if isinstance(found, Node):
                rows.add(found.data, found, found.owner, found.children)
            else:
                rows.lacks(found)
        return rows

    def add(self, value: bytes, told: Told, owner: int, children: int) -> None:
        self.values.append(value)
        self.told.append(told)
        self.owners.append(owner)
        self.children.append(children)

    def lacks(self, found: Listing | Miss) -> None:
        """There is no node at the next place."""
        self.others[len(self.values)] = found
        self.add(b"", None, 0, 0)

    def __len__(self) -> int:
        return len(self.told)

    @overload
    def __getitem__(self, at: int) -> Result: ...
    @overload
    def __getitem__(self, at: slice) -> list[Result]: ...
    def __getitem__(self, at: int | slice) -> Result | list[Result]:
        if not isinstance(at, slice):
            return self[at : at + 1 or None][0]
        places = range(*at.indices(len(self)))
        found = list[Any](map(node, self.paths[at], self.values[at], self.told[at]))
        for place in self.others.keys() & places if self.others else ():
            found[places.index(place)] = self.others[place]
        return found


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
