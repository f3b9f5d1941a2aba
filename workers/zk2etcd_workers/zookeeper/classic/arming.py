"""Arming very many watches in few requests, without reading what they are on: those on the
children of leaves that were just read; and all of a tree that is known, on another connection.

setWatches (opcode 101, jute record SetWatches) is how a client takes its watches along to another
server; every release knows it. For each path the server sets the watch; or, if the list of children
has changed above the zxid that is named (pzxid; `DataTree.setWatches`), or the node is gone, it
sends the event at once. It does so between two transactions, also where it reads on several threads
(`CommitProcessor`, 3.6 and later). So with a zxid that is no higher than that of the read which
showed the leaf, nothing between read and watch is lost, and what comes is an event like any other.
For values it compares when the node was set or made (mzxid). No rights are looked at.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

MOST_BYTES = 128 * 1024
"""A server ends the session at a request above its jute.maxbuffer, 1 MiB by default."""

_COUNT = struct.Struct(">i")
# length xid type zxid, how many paths for values
_HEAD = struct.Struct(">iiiqi")
_FRAME = 2 * _COUNT.size + _COUNT.size
_HEAD_SIZE = _HEAD.size - _FRAME + 2 * _COUNT.size
_size = functools.lru_cache(2048)(_COUNT.pack)


class Named(NamedTuple):
    """Some paths as a request has them: `block`, of so `many`."""

    many: int
    block: bytes


NOTHING = Named(0, b"")


def named(paths: Sequence[bytes]) -> Named:
    parts: list[bytes] = [b""] * (2 * len(paths))
    parts[::2] = map(_size, map(len, paths))
    parts[1::2] = paths
    return Named(len(paths), b"".join(parts))


class SetWatches:
    """Watch the children of these paths, or hear at once of a change since `since`.

    :param values: the same of their values, too.
    """

    type = 101

    def __init__(self, since: int, paths: Named, *, values: bool = False) -> None:
        self.since = since
        self.paths = paths
        self.values = values
        self.zxid = 0
        self.size = 0
        """In bytes, once it is sent."""

    def encode(self, xid: int) -> bytes:
        """All of it as it is sent, its length before it."""
        many, block = self.paths
        of_values = self.paths if self.values else NOTHING
        self.size = _HEAD_SIZE + len(of_values.block) + len(block)
        length = self.size + _FRAME - _COUNT.size
        head = _HEAD.pack(length, xid, self.type, self.since, of_values.many)
        # None for coming into being.
        return b"".join((head, of_values.block, _size(0), _size(many), block))

    def deserialize(self, _buffer: bytes, _offset: int) -> bool:
        return True


class Arming:
    """What is still to be armed over one connection. From any thread: what one has taken is on its
    way before another one sends what has to come after it."""

    def __init__(self, send: Callable[[SetWatches], Any], most: Callable[[], int]) -> None:
        """:param send: puts it on the way, in the order of the calls, and never waits.
        :param most: how many bytes a request may have.
        """
        self._send = send
        self._most = most
        self._lock = threading.RLock()
        self._paths: list[bytes] = []
        self._bytes = 0
        self._since = 0
        self._walking = 0

    def begins(self) -> None:
        """A read of a walk is under way, which may show more leaves."""
        with self._lock:
            self._walking += 1

    def ends(self) -> None:
        """It was answered; with the last of them all is armed, or the walk could end before."""
        with self._lock:
            self._walking -= 1
            if not self._walking:
                self.flush()

    def add(self, paths: Sequence[bytes], since: int) -> None:
        """These leaves were read at `since`, or later. They go when they fill a request."""
        with self._lock:
            self._since = min(self._since or since, since)
            most = min(MOST_BYTES, self._most())
            for path in paths:
                size = len(path) + _COUNT.size
                if self._paths and self._bytes + size + _HEAD_SIZE > most:
                    self.flush()
                    self._since = since
                self._paths.append(path)
                self._bytes += size

    def flush(self) -> None:
        """Send all of it now: it comes before whatever is sent after this."""
        with self._lock:
            if self._paths:
                request = SetWatches(self._since, named(self._paths))
                self._paths, self._bytes, self._since = [], 0, 0
                self._send(request)


def cut(paths: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """These paths, for values and children, in pieces that each fit into a request of `most`
    bytes."""
    room = (min(MOST_BYTES, most) - _HEAD_SIZE) // 2
    ends = list(itertools.accumulate(map(_COUNT.size.__add__, map(len, paths))))
    start = taken = 0
    while start < len(paths):
        end = max(start + 1, bisect.bisect_right(ends, taken + room))
        yield paths[start:end]
        start, taken = end, ends[end - 1]
