"""Bulk reads and a recursive watch through kazoo, as a plain good script would have them.

Independent of the product's own code on purpose: what is compared must not share its faults.
"""

from __future__ import annotations

import queue
import struct
from collections.abc import Callable, Iterator
from typing import Any

import kazoo.client
import kazoo.protocol.connection

GET, LIST = 4, 8
OPS, IN_FLIGHT = 256, 4

Op = tuple[int, bytes]
Found = tuple[bytes, int]
"""A node's value and its number of children."""

_INT = struct.Struct(">i")
_HEADER = struct.Struct(">iBi")
_CHILD_COUNT = struct.Struct(">i")


class MultiRead:
    """Opcode 22, shaped like kazoo's own requests."""

    type = 22

    def __init__(self, ops: list[Op]) -> None:
        self.ops = ops

    def serialize(self) -> bytes:
        parts: list[bytes] = []
        for kind, path in self.ops:
            parts += [_HEADER.pack(kind, 0, -1), _INT.pack(len(path)), path, b"\0"]
        parts.append(_HEADER.pack(-1, 1, -1))
        return b"".join(parts)

    def deserialize(self, data: bytes, at: int) -> list[Found | list[bytes] | None]:
        """For each op: (value, children), names, or None where there is no such node."""
        results: list[Found | list[bytes] | None] = []
        for _ in self.ops:
            kind = _INT.unpack_from(data, at)[0]
            at += 9
            number = _INT.unpack_from(data, at)[0]
            at += 4
            if kind == GET:
                end = at + max(number, 0)
                results.append((data[at:end], _CHILD_COUNT.unpack_from(data, end + 56)[0]))
                at = end + 68
            elif kind == LIST:
                names = []
                for _ in range(number):
                    end = at + 4 + _INT.unpack_from(data, at)[0]
                    names.append(data[at + 4 : end])
                    at = end
                results.append(names)
            else:
                results.append(None)
        return results


class AddWatch:
    """Opcode 106, persistent and recursive."""

    type = 106

    def __init__(self, path: bytes) -> None:
        self.path = path

    def serialize(self) -> bytes:
        return _INT.pack(len(self.path)) + self.path + _INT.pack(1)

    def deserialize(self, _data: bytes, _at: int) -> bool:
        return True


class Answer:
    """Shaped like kazoo's async result: puts (ops, results) on a queue."""

    def __init__(self, ops: list[Op], into: queue.SimpleQueue[Any]) -> None:
        self.ops, self.into = ops, into

    def set(self, results: Any) -> None:
        self.into.put((self.ops, results))

    def set_exception(self, error: BaseException) -> None:
        self.into.put((self.ops, error))


class _Connection(kazoo.protocol.connection.ConnectionHandler):  # type: ignore[misc]
    """Hands every event to one callable."""

    on_event: Callable[[int, bytes], None]

    def _read_watch_event(self, buffer: bytes, offset: int) -> None:
        kind, _, length = struct.unpack_from(">iii", buffer, offset)
        self.on_event(kind, bytes(buffer[offset + 12 : offset + 12 + length]))


def connect(hosts: str, on_event: Callable[[int, bytes], None] | None = None) -> Any:
    """A started KazooClient."""
    client = kazoo.client.KazooClient(hosts=hosts, timeout=30)
    if on_event is not None:
        client._connection = _Connection(client, client._conn_retry.copy(), logger=client.logger)
        client._connection.on_event = on_event
    client.start(timeout=10)
    return client


def disconnect(client: Any) -> None:
    client.stop()
    client.close()


def send(client: Any, ops: list[Op], into: queue.SimpleQueue[Any]) -> None:
    client._call(MultiRead(ops), Answer(ops, into))


def watch(client: Any, path: bytes) -> None:
    """Add the recursive watch and wait for its reply."""
    into: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client._call(AddWatch(path), Answer([], into))
    _, result = into.get(timeout=10)
    if result is not True:
        raise RuntimeError(f"addWatch failed: {result!r}")


def walk(client: Any, root: bytes) -> Iterator[list[tuple[bytes, bytes]]]:
    """(path, value) of every node at and below `root`, some hundred at a time, parents first."""
    todo: list[Op] = [(GET, root)]
    into: queue.SimpleQueue[Any] = queue.SimpleQueue()
    under_way = 0
    while todo or under_way:
        while todo and under_way < IN_FLIGHT:
            send(client, todo[-OPS:], into)
            del todo[-OPS:]
            under_way += 1
        ops, results = into.get(timeout=60)
        under_way -= 1
        if isinstance(results, BaseException):
            raise results
        nodes = []
        for (kind, path), result in zip(ops, results, strict=True):
            if kind == LIST:
                above = path.rstrip(b"/") + b"/"
                todo.extend([(GET, above + name) for name in result or ()])
            elif result is not None:
                nodes.append((path, result[0]))
                if result[1]:
                    todo.append((LIST, path))
        if nodes:
            yield nodes
