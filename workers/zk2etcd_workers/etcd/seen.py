"""The highest revision that etcd answered: one below it means that etcd was put back."""

from __future__ import annotations

import threading
from typing import Any


class Seen:
    """`rollbacks` counts how often that was so. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.revision = 0
        self.rollbacks = 0

    def put_back(self) -> None:
        """It is known to have been put back, whatever its revision."""
        with self._lock:
            self.rollbacks += 1
            self.revision = 0

    def saw(self, reply: Any, known: int) -> None:
        """A linearizable answer is never behind what was known when it was asked for; if it is,
        etcd was put back to an earlier state, and all that was written since is gone."""
        revision = int(reply.header.revision)
        with self._lock:
            if revision >= known:
                self.revision = max(self.revision, revision)
            elif self.revision >= known:
                self.rollbacks += 1
                self.revision = revision
