"""A wire between client and server that a test can cut, hold, refuse, lead elsewhere or rewrite.

Held bytes are not lost: they go on in order when the wire is released, as on a slow network, or
only those that were sent until some moment, as when the client's host died then.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

Rewrite = Callable[[bytes], bytes]
_LOOK_EVERY = 0.02


class Wire:
    """Listens `at` a port of loopback and carries to `target`, a "host:port" that may be changed;
    connections that are open stay where they are.

    :param rewrite: gets the first bytes of each connection, from the client, and may change them.
    """

    def __init__(
        self, target: str, rewrite: Rewrite | None = None, at: tuple[str, int] = ("127.0.0.1", 0)
    ) -> None:
        self.target = target
        self.connections = 0
        self.returned = 0
        """Bytes that the target has answered."""
        self.delay = 0.0
        """Seconds that each part is under way."""
        self._rewrite = rewrite
        self._refuses = False
        self._holds = False
        self._until = math.inf
        self._listener = socket.create_server(at)
        self._open: list[socket.socket] = []
        self.address = "{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._holds = False

    def hold(self) -> None:
        """Nothing gets through, in either direction; connections stay open."""
        self._until = math.inf
        self._holds = True

    def release(self, until: float = math.inf) -> None:
        """What was held goes on; what the client sent after `until`, in monotonic seconds, is lost,
        also on connections that are still open."""
        self._until = until
        self._holds = False

    def refuse(self) -> None:
        """Break every connection, and close each new one at once."""
        self._refuses = True
        self.cut()

    def accept(self) -> None:
        self._refuses = False

    def cut(self) -> None:
        """Break every connection."""
        broken, self._open = self._open, []
        for end in broken:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        host, _, port = self.target.rpartition(":")
        if self._refuses:
            near.close()
            return
        try:
            far = socket.create_connection((host, int(port)))
        except OSError:
            near.close()
            return
        self._open += [near, far]
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far, forth=True)

    def _pump(self, source: socket.socket, sink: socket.socket, *, forth: bool = False) -> None:
        rewrite = self._rewrite if forth else None
        held: list[tuple[float, bytes]] = []
        with contextlib.suppress(OSError, ValueError):  # a closed socket has no number
            more = True
            while more or held:
                if more and select.select([source], [], [], _LOOK_EVERY)[0]:
                    part = source.recv(65536)
                    more = bool(part)
                    held.append((time.monotonic(), part))
                elif not more:
                    time.sleep(_LOOK_EVERY)
                while held and not self._holds and time.monotonic() >= held[0][0] + self.delay:
                    sent, part = held.pop(0)
                    if forth and sent > self._until:
                        continue
                    self.returned += 0 if forth else len(part)
                    sink.sendall(part if rewrite is None else rewrite(part))
                    rewrite = None
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
