"""The one queue through which everything reaches a shard's thread."""

from __future__ import annotations

import queue
from typing import Any

_WAKE = None


class Inbox:
    """A queue whose `get` has a deadline and answers None instead of raising."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.put = self._queue.put

    def is_empty(self) -> bool:
        """Nothing is there to be taken."""
        return self._queue.empty()

    def wake(self) -> None:
        """End the wait of the shard's thread."""
        self.put(_WAKE)

    def get(self, seconds: float) -> Any:
        """The next item; None when there is none in time, or the thread was only woken."""
        try:
            return self._queue.get(timeout=seconds) if seconds > 0 else self._queue.get_nowait()
        except queue.Empty:
            return None
