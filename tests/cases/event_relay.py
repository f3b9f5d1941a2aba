"""A relay before a ZooKeeper that understands its frames, and tells of recursive watches what a
substitute might: the watched root's name only, or nothing. Plain watches pass as they are."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Self

ADD_WATCH = 106
_LENGTH = struct.Struct(">i")
_EVENT = -1
_FIXED = 16 + 8
"""Bytes of a reply's header, and of an event's type and state, before its path."""

Retell = Callable[[bytes, bytes], bytes | None]
"""(the root that is watched, the frame of an event) -> the frame that goes on, if any."""


def only_the_root(root: bytes, frame: bytes) -> bytes:
    return frame[:_FIXED] + _LENGTH.pack(len(root)) + root


def nothing(_root: bytes, _frame: bytes) -> None:
    return None


class Relay:
    """`retell` may be replaced at any time."""

    def __init__(self, target: str, retell: Retell | None) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self.retell = retell
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target, 5.0)
            except OSError:
                return
            far.settimeout(None)
            threading.Thread(target=self._serve, args=(near, far), daemon=True).start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        with _ending(near, far):
            if near.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL).isalpha():  # a four-letter word
                far.sendall(near.recv(4))
                while part := far.recv(65536):
                    near.sendall(part)
                return
            roots: list[bytes] = []
            down = threading.Thread(target=self._down, args=(far, near, roots), daemon=True)
            down.start()
            while frame := _frame(near):
                if len(frame) >= 12 and _LENGTH.unpack_from(frame, 4)[0] == ADD_WATCH:
                    size = _LENGTH.unpack_from(frame, 8)[0]
                    roots.append(frame[12 : 12 + size])
                far.sendall(_LENGTH.pack(len(frame)) + frame)

    def _down(self, far: socket.socket, near: socket.socket, roots: list[bytes]) -> None:
        first = True
        with _ending(near, far):
            while frame := _frame(far):
                told: bytes | None = frame
                is_event = not first and _LENGTH.unpack_from(frame)[0] == _EVENT
                if is_event and roots and self.retell is not None:
                    told = self.retell(roots[-1], frame)
                first = False
                if told is not None:
                    near.sendall(_LENGTH.pack(len(told)) + told)


@contextlib.contextmanager
def _ending(*ends: socket.socket) -> Iterator[None]:
    try:
        yield
    except OSError:
        pass
    finally:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _frame(end: socket.socket) -> bytes:
    """The next frame; empty at the end, or for an empty one."""
    head = _exactly(end, 4)
    return _exactly(end, _LENGTH.unpack(head)[0]) if head else b""


def _exactly(end: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = end.recv(count - len(got))
        if not part:
            return b""
        got += part
    return got
