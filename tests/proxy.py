"""A TCP proxy that misbehaves on demand: cuts, refuses, delays, leads elsewhere, rewrites, and
holds bytes back to let them go later, also when their sender has long given up.

The last is what a lost answer is made of: a client times out, fails over, writes something newer,
and only then does its old request reach the server. A request's cancellation follows it on the
same connection, so a hold keeps only what came in its first moments and loses what came after.

What a direction does with its bytes is all in its `_Gate`; the threads only ask it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import enum
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Self

Rewrite = Callable[[bytes], bytes]
_DIRECTIONS = {"up": ("up",), "down": ("down",), "both": ("up", "down")}
KEEP_ALL = float("inf")
_AT_ONCE = struct.pack("ii", 1, 0)
_SIP = 4096
"""Bytes that a slow line passes on at once."""
_GRACE = 1.0
"""Seconds that a server gets to carry out what was let go late, before its connection ends."""


class Passage(enum.Enum):
    """What becomes of bytes: they go on, vanish without a sign, or end their connection."""

    GO = enum.auto()
    VANISH = enum.auto()
    END = enum.auto()


class Words(enum.Enum):
    """What becomes of four-letter words to a ZooKeeper, while sessions pass."""

    PASS = enum.auto()
    CLOSE = enum.auto()
    RESET = enum.auto()


@dataclasses.dataclass
class _Gate:
    """What one direction does with bytes now. Changed under the proxy's condition."""

    delay: float = 0.0
    held_since: float | None = None
    held_until: float = KEEP_ALL
    keep: float = KEEP_ALL
    lost: tuple[float, float] = (0.0, 0.0)
    rate: float | None = None
    busy_until: float = 0.0
    heard_until: float = KEEP_ALL

    def is_lost(self, arrived: float) -> bool:
        return self.lost[0] < arrived <= self.lost[1]

    def holds(self, arrived: float) -> bool:
        return self.held_since is not None and arrived <= self.held_until


class Proxy:
    """Forwards to `target`, a "host:port". A direction is "up", towards the server, "down", or
    "both".

    :param at: where it listens; by default on a free port of 127.0.0.1.
    :param rewrite: gets the first bytes of each connection, from the client, and may change them.
    :param words: a session's first bytes are a length, so what begins with letters is a word.
    :param rate: bytes a second that the line carries in each direction, as long as nobody
        `throttle`s it; None: all.
    """

    def __init__(
        self,
        target: str,
        rewrite: Rewrite | None = None,
        at: tuple[str, int] = ("127.0.0.1", 0),
        words: Words = Words.PASS,
        rate: float | None = None,
    ) -> None:
        self.target = target
        self._words = words
        self._target = _split(target)
        self._rewrite = rewrite
        self._listener = socket.create_server(at)
        self._changed = threading.Condition()
        self._rate = rate
        self._gates = {"up": _Gate(rate=rate), "down": _Gate(rate=rate)}
        self._open: set[socket.socket] = set()
        self._near: set[socket.socket] = set()
        self._mute: set[socket.socket] = set()
        self._refusing = False
        self._closed = False
        self.sees: Callable[[bytes], object] = len
        """Called with each part of what a client sends, before it goes on; it may take its time."""
        self.most: float = KEEP_ALL
        """Bytes of answers after which a connection ends."""
        host, self.port = self._listener.getsockname()
        self.address = f"{host}:{self.port}"
        self.connections = 0
        self.waiting = 0
        self.returned = 0
        """Bytes of the target's answers that went on."""
        threading.Thread(target=self._accept, daemon=True, name=f"proxy {self.port}").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what a test does to it --------------------------------------------------------------

    def cut(self) -> None:
        """Break every connection; what was held on them is lost."""
        with self._changed:
            broken, self._open = self._open, set()
            self._near.clear()
        for end in broken:
            _end(end)

    def throttle(self, rate: float | None) -> None:
        """Pass on at most so many bytes a second in each direction, over all connections; None: as
        many as a rule."""
        with self._changed:
            for gate in self._gates.values():
                gate.rate = self._rate if rate is None else rate

    def refuse(self) -> None:
        """Break every connection, and end each new one at once, until `accept`."""
        with self._changed:
            self._refusing = True
        self.cut()

    def accept(self) -> None:
        with self._changed:
            self._refusing = False

    def retarget(self, target: str) -> None:
        """Forward new connections to another "host:port"; the old ones break."""
        self._target = _split(target)
        self.cut()

    def delay(self, seconds: float, direction: str = "up") -> None:
        """Forward each byte this much later."""
        with self._changed:
            for gate in self._towards(direction):
                gate.delay = seconds
            self._changed.notify_all()

    def hold(self, direction: str = "up", keep: float = KEEP_ALL) -> None:
        """Forward nothing until `release`.

        :param keep: what comes later than this many seconds after now is lost, and its connection
            ends after the release.
        """
        with self._changed:
            for gate in self._towards(direction):
                gate.held_since, gate.keep = time.monotonic(), keep
                gate.held_until = gate.heard_until = KEEP_ALL

    def divert(self, direction: str = "up") -> None:
        """Go on holding what was held so far, and let new connections pass: the clients of the
        old ones are cut off, their bytes towards the server are not."""
        with self._changed:
            for gate in self._towards(direction):
                gate.held_until = time.monotonic()
            left, self._near = self._near, set()
        for near in left:
            _shut(near)

    def release(self, direction: str = "up", until: float = KEEP_ALL) -> None:
        """Let go what was held and is not lost, whether or not its sender is still there.

        :param until: what came later than this moment, in monotonic seconds, vanishes, and so does
            all that comes from now on; connections stay open, as when the sender's host died then.
        """
        now = time.monotonic()
        with self._changed:
            for gate in self._towards(direction):
                if gate.held_since is not None and gate.keep != KEEP_ALL:
                    gate.lost = (gate.held_since + gate.keep, min(gate.held_until, now))
                gate.held_since, gate.heard_until = None, until
            self._changed.notify_all()

    def mute(self) -> None:
        """The connections that stand now carry nothing more, in neither direction, and stay open,
        as after a router forgot them; new ones work."""
        with self._changed:
            self._mute |= self._open

    def heal(self) -> None:
        """Forward everything at once again, to where it belongs."""
        if self._target != _split(self.target):
            self.retarget(self.target)
        self.accept()
        self.throttle(None)
        if self._mute:
            self.cut()
        self.delay(0.0, "both")
        self.release("both")

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        _end(self._listener)
        self.cut()

    def _towards(self, direction: str) -> list[_Gate]:
        return [self._gates[each] for each in _DIRECTIONS[direction]]

    # --- its threads -------------------------------------------------------------------------

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        if self._refusing or (self._words is not Words.PASS and self._is_word(near)):
            if self._words is Words.RESET:
                near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                near.close()
            _end(near)
            return
        try:
            far = socket.create_connection(self._target, 2.0)
        except OSError:
            _end(near)
            return
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._open |= {near, far}
            self._near.add(near)
        if self._refusing or self._closed:  # since we asked
            self.cut()
        up = _Stream(self, near, far, "up", self._rewrite)
        for stream in (up, _Stream(self, far, near, "down")):
            threading.Thread(target=stream.run, daemon=True).start()

    def _is_word(self, near: socket.socket) -> bool:
        try:
            first = near.recv(4, socket.MSG_PEEK | socket.MSG_WAITALL)
        except OSError:
            first = b""
        return first.isalpha()

    def wait_passage(self, direction: str, arrived: float) -> Passage:
        """Return when it is known what becomes of bytes that arrived then."""
        with self._changed:
            self.waiting += 1
            try:
                return self._passes(self._gates[direction], arrived)
            finally:
                self.waiting -= 1

    def _passes(self, gate: _Gate, arrived: float) -> Passage:
        while not self._closed:
            if gate.is_lost(arrived):
                return Passage.END
            left = arrived + gate.delay - time.monotonic()
            if not gate.holds(arrived) and left <= 0:
                return Passage.VANISH if arrived > gate.heard_until else Passage.GO
            self._changed.wait(None if gate.holds(arrived) else left)
        return Passage.END

    def takes(self, direction: str, size: int) -> float:
        """Seconds until the line is free again, when it was given so many bytes now."""
        with self._changed:
            gate, now = self._gates[direction], time.monotonic()
            if gate.rate is None:
                return 0.0
            gate.busy_until = max(gate.busy_until, now) + size / gate.rate
            return gate.busy_until - now

    def count(self, direction: str, size: int) -> None:
        """So many bytes go on."""
        if direction == "down":
            with self._changed:
                self.returned += size

    def is_mute(self, end: socket.socket) -> bool:
        with self._changed:
            return end in self._mute

    def forget(self, end: socket.socket) -> None:
        with self._changed:
            self._mute.discard(end)
            self._open.discard(end)
            self._near.discard(end)


class _Stream:
    """One direction of one connection: a thread that takes in, one that gives out."""

    def __init__(
        self,
        proxy: Proxy,
        source: socket.socket,
        sink: socket.socket,
        direction: str,
        rewrite: Rewrite | None = None,
    ) -> None:
        self._proxy = proxy
        self._source = source
        self._sink = sink
        self._direction = direction
        self._rewrite = rewrite
        self._waiting: collections.deque[tuple[float, bytes]] = collections.deque()
        self._arrival = threading.Semaphore(0)
        self._sent = 0

    def run(self) -> None:
        threading.Thread(target=self._give_out, daemon=True).start()
        part = b"-"
        while part:
            try:
                part = self._source.recv(65536)
            except OSError:
                part = b""
            self._waiting.append((time.monotonic(), part))
            self._arrival.release()

    def _give_out(self) -> None:
        """An end of the server's side ends the client's at once, and the other way round once all
        is delivered. A client that went away does not end what it had sent."""
        with contextlib.suppress(OSError):
            while True:
                self._arrival.acquire()
                arrived, part = self._waiting.popleft()
                late = time.monotonic() - arrived > _GRACE / 2
                passage = self._proxy.wait_passage(self._direction, arrived)
                if passage is Passage.END or (late and not part):
                    self._linger()
                if passage is Passage.END or not part:
                    break
                if passage is Passage.GO and not self._proxy.is_mute(self._sink):
                    self._send(part)
                if self._direction == "down" and self._sent > self._proxy.most:
                    break
            self._proxy.forget(self._sink)
            _end(self._sink)

    def _send(self, part: bytes) -> None:
        rewrite, self._rewrite = self._rewrite, None
        if self._direction == "up":
            self._proxy.sees(part)
        self._sent += len(part)
        self._proxy.count(self._direction, len(part))
        part = part if rewrite is None else rewrite(part)
        while part:
            takes = self._proxy.takes(self._direction, len(part[:_SIP]))
            sip = _SIP if takes else len(part)
            self._sink.sendall(part[:sip])
            part = part[sip:]
            if takes:
                threading.Event().wait(takes)

    def _linger(self) -> None:
        """A server cancels what it has not begun when its client goes: give it the time."""
        if self._direction == "up":
            threading.Event().wait(_GRACE)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)


def _end(end: socket.socket) -> None:
    _shut(end)
    end.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
