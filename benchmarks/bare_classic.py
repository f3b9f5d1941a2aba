"""A bare first sync from a ZooKeeper before 3.6, in a process of its own: pipelined plain reads on
a socket, with their watches; those on leaves' children in bulk; nested Txns; then it ends.

    python -m benchmarks.bare_classic ZOOKEEPER ETCD FROM TO
"""

from __future__ import annotations

import socket
import struct
import sys
from collections import deque
from collections.abc import Iterator

from benchmarks import bare_etcd

GET, LIST, SET_WATCHES = 4, 8, 101
WINDOW = 250
"""A quarter of what the server takes from all its clients (globalOutstandingLimit)."""
ARM_BYTES = 128 * 1024

_INT = struct.Struct(">i")
_HEAD = struct.Struct(">iiqi")
_REQUEST = struct.Struct(">iiii")
_CHILD_COUNT = struct.Struct(">44xq4xi")

Op = tuple[int, bytes]


class Classic:
    """One session; `walk` goes over the tree with everything watched."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""
        self._at = 0
        self._under_way: deque[Op] = deque()
        self._leaves: list[bytes] = []
        self._leaf_bytes = 0
        self._zxid = 0
        self._socket.sendall(struct.pack(">iiqiqi16s", 44, 0, 0, 30_000, 0, 16, b""))
        self._frame()

    def close(self) -> None:
        self._socket.close()

    def walk(self, root: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
        """(path, value) of every node at and below `root`, some at a time, parents first."""
        todo: list[Op] = [(GET, root)]
        while todo or self._under_way:
            if len(self._under_way) <= WINDOW // 2:
                self._send(todo)
            nodes: list[tuple[bytes, bytes]] = []
            self._receive(todo, nodes)
            yield nodes
        self._arm()

    def _send(self, todo: list[Op]) -> None:
        count = WINDOW - len(self._under_way)
        ops = todo[-count:]
        del todo[-count:]
        parts: list[bytes] = []
        for kind, path in ops:
            size = len(path)
            parts += (_REQUEST.pack(size + 13, 1, kind, size), path, b"\x01")
        self._socket.sendall(b"".join(parts))
        self._under_way.extend(ops)

    def _receive(self, todo: list[Op], nodes: list[tuple[bytes, bytes]]) -> None:
        buffer, at = self._frame()
        while True:
            length, xid, zxid, error = _HEAD.unpack_from(buffer, at)
            if xid == 1:
                self._answered(buffer, at + 20, zxid, error, todo, nodes)
            at += 4 + length
            if at + 4 > len(buffer) or at + 4 + _INT.unpack_from(buffer, at)[0] > len(buffer):
                self._at = at
                return

    def _answered(
        self,
        buffer: bytes,
        at: int,
        zxid: int,
        error: int,
        todo: list[Op],
        nodes: list[tuple[bytes, bytes]],
    ) -> None:
        kind, path = self._under_way.popleft()
        if kind == SET_WATCHES or error:
            return
        number = _INT.unpack_from(buffer, at)[0]
        at += 4
        if kind == LIST:
            above = path.rstrip(b"/") + b"/"
            for _ in range(number):
                end = at + 4 + _INT.unpack_from(buffer, at)[0]
                todo.append((GET, above + buffer[at + 4 : end]))
                at = end
            return
        end = at + max(number, 0)
        nodes.append((path, buffer[at:end]))
        owner, children = _CHILD_COUNT.unpack_from(buffer, end)
        if children:
            todo.append((LIST, path))
        elif not owner:
            self._zxid = self._zxid or zxid
            self._leaves.append(path)
            self._leaf_bytes += len(path) + 4
            if self._leaf_bytes > ARM_BYTES - 1024:
                self._arm()

    def _arm(self) -> None:
        parts = [struct.pack(">iiqiii", -8, SET_WATCHES, self._zxid, 0, 0, len(self._leaves))]
        for path in self._leaves:
            parts += (_INT.pack(len(path)), path)
        whole = b"".join(parts)
        self._socket.sendall(_INT.pack(len(whole)) + whole)
        self._leaves, self._leaf_bytes, self._zxid = [], 0, 0

    def _frame(self) -> tuple[bytes, int]:
        """What has arrived, from `at` on at least one message."""
        while True:
            buffer, at = self._received, self._at
            have = len(buffer) - at
            if have >= 4 and have >= 4 + _INT.unpack_from(buffer, at)[0]:
                self._at += 4 + _INT.unpack_from(buffer, at)[0]
                return buffer, at
            chunk = self._socket.recv(256 * 1024)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._received, self._at = buffer[at:] + chunk, 0


def main(zookeeper: str, etcd: str, source: str, target: str) -> None:
    cut, to = len(source.encode()), target.encode()
    opened = bare_etcd.channel(etcd)
    client = Classic(zookeeper)
    puts = bare_etcd.Puts(opened)
    for nodes in client.walk(source.encode()):
        puts.add([(to + path[cut:], value) for path, value in nodes])
    puts.flush()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:5])
