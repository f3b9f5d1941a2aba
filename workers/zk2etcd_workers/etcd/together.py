"""What several threads want of etcd at the same moment goes in one request.

Whoever comes first is sent at once, alone; who comes while that is under way waits, and all who
wait are sent together. So one shard waits for nobody, and five hundred that start, or look, at once
are a few requests. It is the thread of one of them that sends: none of its own, nothing to stop.
Where a request costs much beside what it carries, whoever follows may linger, for more to come;
so may the first, if it is known that more will: up to five times as long, until they are there.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from zk2etcd import errors
from zk2etcd_workers import turn

_PATIENCE = 5
Wish = TypeVar("Wish")
Result = TypeVar("Result")


class _Place(Generic[Wish, Result]):
    """One who waits. `called`: it is answered, or it is its turn to send."""

    __slots__ = ("called", "error", "leads", "result", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.called = threading.Event()
        self.leads = False
        self.result: Result | None = None
        self.error: BaseException | None = None


class Together(Generic[Wish, Result]):
    """`carry` gets all wishes that wait, and answers each, with a result or with its error; what it
    raises is the error of all. Its calls of etcd have deadlines, so nobody waits for ever."""

    def __init__(
        self,
        carry: Callable[[Sequence[Wish]], Sequence[Result | errors.Zk2EtcdError]],
        linger: float = 0.0,
    ) -> None:
        """:param linger: seconds that one waits who was not the first."""
        self._carry = carry
        self._linger = linger
        self._lock = threading.Lock()
        self._waiting: list[_Place[Wish, Result]] = []
        self._under_way = False
        self._expected = 0

    def expect(self, wishes: int) -> None:
        """So many are about to ask: the first of them lingers, too."""
        with self._lock:
            self._expected = wishes

    def ask(self, wish: Wish) -> Result:
        """Wait for its answer, with the shard's pulse.

        :raises errors.Zk2EtcdError: that is the answer.
        """
        place = _Place[Wish, Result](wish)
        with self._lock:
            self._waiting.append(place)
            place.leads, self._under_way = not self._under_way, True
            expected = self._expected if place.leads else 0
            self._expected -= expected
        while not place.leads and not place.called.wait(turn.SLICE):
            turn.touch()
        if place.leads:
            if expected > 1 or place.called.is_set():
                self._wait_for(expected)
            self._lead()
        if place.error is not None:
            raise place.error
        assert place.result is not None
        return place.result

    def _wait_for(self, expected: int) -> None:
        for _ in range(_PATIENCE if expected else 1):
            if self._linger and (not expected or len(self._waiting) < expected):
                time.sleep(self._linger)

    def _lead(self) -> None:
        with self._lock:
            places, self._waiting = self._waiting, []
        try:
            answers = self._carry([place.wish for place in places])
            for place, answer in zip(places, answers, strict=True):
                if isinstance(answer, errors.Zk2EtcdError):
                    place.error = answer
                else:
                    place.result = answer
        except Exception as error:
            for place in places:
                # Of its own: each thread adds its frames to the one that it raises.
                place.error = copy.copy(error)
        finally:
            self._hand_on()
            for place in places:
                place.called.set()

    def _hand_on(self) -> None:
        with self._lock:
            self._under_way = bool(self._waiting)
            if self._waiting:
                following = self._waiting[0]
                following.leads = True
                following.called.set()
