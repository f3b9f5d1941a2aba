"""What ZooKeeper said about one node, as plain values. Paths and data are bytes throughout: they
come from one wire and go to another, and decoding a million paths to look at none is waste."""

from __future__ import annotations

import enum
from typing import NamedTuple

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


Listing = list[bytes]
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
