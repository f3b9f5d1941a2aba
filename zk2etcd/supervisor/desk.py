"""Where other threads ask the supervisor's loop for something (`control.Control`).

What is asked runs in the loop, between two turns: its state needs no lock that way.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from zk2etcd.supervisor import requests
from zk2etcd.view import control, history, published

LEVELS = ("debug", "info", "warning", "error")
_SHORT = 5.0
_RELOAD = 30.0

T = TypeVar("T")
Request = tuple[concurrent.futures.Future[Any], Callable[[], Any]]


_FEW, _PACE, _STANDS = 100, 0.002, 2.0
"""Seconds for which a view stands, for each shard beyond so many, and at most. One of 1,000 costs
5 to 10 ms."""


class Desk:
    """Implements `control.Control`. `wake` ends the loop's wait and is called from any thread."""

    def __init__(
        self, asked: requests.Requests, view: published.View, wake: Callable[[], None]
    ) -> None:
        self._requests = asked
        self._wake = wake
        self._asked: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = True
        # One tuple, replaced whole: the view and when the loop turned (monotonic).
        self._latest = (view, time.monotonic())
        self._recording = threading.Lock()  # held for a copy of some arrays, no longer
        self._history = history.History()
        self._view_at = 0.0

    # --- any thread ---------------------------------------------------------------------------

    def snapshot(self) -> published.View:
        view, turned_at = self._latest
        age = max(0.0, time.monotonic() - turned_at)
        return dataclasses.replace(view, last_turn_age=age)

    def recent(self, after: int | None) -> history.Recent:
        with self._recording:
            return self._history.recent(after)

    def request_full_sync(self, shards: Sequence[str] | None) -> tuple[str, ...]:
        return self._ask(lambda: self._requests.full_sync(shards), _SHORT)

    def request_release(self, shard: str, trip: str, by: str) -> control.Held:
        return self._ask(lambda: self._requests.release(shard, trip, by), _SHORT)

    def request_pause(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._ask(lambda: self._requests.pause(shards, by), _SHORT)

    def request_resume(self, shards: Sequence[str] | None, by: str) -> tuple[str, ...]:
        return self._ask(lambda: self._requests.resume(shards, by), _SHORT)

    def request_reload(self) -> control.ReloadResult:
        return self._ask(self._requests.reload, _RELOAD)

    def set_log_level(self, level: str) -> None:
        if level not in LEVELS:
            raise ValueError(f"unknown log level {level!r}: use one of {', '.join(LEVELS)}")
        self._ask(lambda: self._requests.set_log_level(level), _SHORT)

    # --- the loop's thread --------------------------------------------------------------------

    def turned(self, view: Callable[[], published.View], shards: int) -> None:
        """The loop has turned; a new view is made if it is time: of many shards it costs more."""
        now = time.monotonic()
        if now < self._view_at:
            self._latest = (self._latest[0], now)
            return
        self._view_at = now + min(max(0, shards - _FEW) * _PACE, _STANDS)
        self.publish(view())

    def publish(self, view: published.View) -> None:
        now = time.monotonic()
        self._latest = (view, now)
        with self._recording:
            self._history.observe(view.shards, time.time(), now)

    def serve(self) -> None:
        """Carry out what was asked since the last call."""
        for future, work in self._taken():
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except Exception as error:  # it belongs to whoever asked
                future.set_exception(error)

    def close(self) -> None:
        """Refuse everything from now on."""
        with self._lock:
            self._open = False
        for future, _ in self._taken():
            if future.set_running_or_notify_cancel():
                future.set_exception(control.Unavailable("the supervisor has stopped"))

    def _ask(self, work: Callable[[], T], timeout: float) -> T:
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:  # not between the closing and the clearing out
            if not self._open:
                raise control.Unavailable("the supervisor has stopped")
            self._asked.put((future, work))
            self._wake()
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            undone = "nothing was done" if future.cancel() else "it may still be done"
            what = f"the supervisor did not answer in {timeout:g} s: {undone}"
            raise control.Unavailable(what) from None

    def _taken(self) -> list[Request]:
        return [self._asked.get() for _ in range(self._asked.qsize())]
