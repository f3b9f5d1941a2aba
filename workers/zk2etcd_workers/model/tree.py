"""What ZooKeeper said about one node, as plain values. Paths and data are bytes throughout: they
come from one wire and go to another, and decoding a million paths to look at none is waste."""

from __future__ import annotations

import enum
from typing import NamedTuple

CONTAINER_OWNER = -(2**63)
"""`ephemeralOwner` of a container node (ZooKeeper's EphemeralType)."""

ROOT = b"/"


class Node(NamedTuple):
    """A readable znode. zxids as on the wire, `mtime` and `ctime` in milliseconds since 1970."""

    path: bytes
    data: bytes
    czxid: int
    mzxid: int
    mtime: int
    owner: int
    children: int
    ctime: int = 0


class Miss(enum.Enum):
    """Why a path was not read. Only NO_NODE is absence (I2)."""

    NO_NODE = -101
    NO_AUTH = -102
    OTHER = -1


Listing = list[bytes]
Result = Node | Listing | Miss


def is_ephemeral(node: Node) -> bool:
    """True for a true ephemeral: neither a container nor a TTL node (whose high byte is 0xff)."""
    owner = node.owner
    if owner in (0, CONTAINER_OWNER):
        return False
    return (owner >> 56) & 0xFF != 0xFF


def join(parent: bytes, name: bytes) -> bytes:
    """The path of a child; `/` has no doubled slash."""
    return parent + b"/" + name if parent != ROOT else b"/" + name


def shown(path: bytes) -> str:
    """A path for logs and status; bytes that are not UTF-8 are escaped."""
    return path.decode("utf-8", "backslashreplace")
