"""How many shards of a worker start at the same moment: a few, and the others in their turn.

Each has a thread. Hundreds that want to run at once take longer for all of it than one after the
other would: in Python, each that waits for its turn wakes up again and again to ask for it. A few
are enough to keep both servers busy, and to share their requests.

Nobody waits for one that takes long: after a moment it does not count any more.
"""

from __future__ import annotations

import threading
import time

from zk2etcd_workers import turn

_AT_ONCE = 32
_MOMENT = 2.0
_LOOK = 5.0
"""Seconds after which one who waits looks whether others take long."""


class Admission:
    """Of all shards of one worker; first come, first served."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, None] = {}
        self._admitted: dict[object, float] = {}

    def enter(self, who: object, pulse: turn.Turn) -> None:
        """Wait for a place; `leave` gives it up, and may be called by anybody who has none.

        :raises turn.Stopped: the shard was asked to stop, or `turn.Interrupted`.
        """
        called = threading.Event()
        with self._lock:
            self._waiting[called] = None
            self._call()
        try:
            while called in self._waiting:
                with pulse.idle(lambda: True, called.set):
                    called.wait(_LOOK)
                with self._lock:
                    self._call()
        except BaseException:
            with self._lock:
                self._waiting.pop(called, None)
                self._admitted.pop(called, None)
            raise
        with self._lock:
            self._admitted.pop(called, None)
            self._admitted[who] = time.monotonic()

    def leave(self, who: object) -> None:
        with self._lock:
            self._admitted.pop(who, None)
            self._call()

    def _call(self) -> None:
        """Those whose turn it is; a place is theirs from now on."""
        since = time.monotonic() - _MOMENT
        if len(self._admitted) >= _AT_ONCE:
            self._admitted = {who: at for who, at in self._admitted.items() if at > since}
        while self._waiting and len(self._admitted) < _AT_ONCE:
            called = next(iter(self._waiting))
            del self._waiting[called]
            self._admitted[called] = time.monotonic()
            called.set()
