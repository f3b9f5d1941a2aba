"""What several threads want of etcd at the same moment goes in one request.

Whoever comes first is sent at once, alone; who comes while that is under way waits, and all who
wait are sent together. So one shard waits for nobody, and five hundred that start, or look, at once
are a few requests. It is the thread of one of them that sends: none of its own, nothing to stop.
Where a request costs much beside what it carries, whoever follows may linger, for more to come;
so may the first, if it is known that more will: until they are there, or it has been long enough.
Or the first lingers in any case, where most come in crowds.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from zk2etcd import errors
from zk2etcd_workers import turn

_PATIENCE, _EACH = 5, 20
"""Times the usual that the first waits for those that are expected, and one more for so many."""
Wish = TypeVar("Wish")
Result = TypeVar("Result")


class _Place(Generic[Wish, Result]):
    """One who waits. `called`: it is answered, or it is its turn to send."""

    __slots__ = ("called", "error", "leads", "next", "result", "wish")

    def __init__(self, wish: Wish) -> None:
        self.wish = wish
        self.called = threading.Event()
        self.leads = False
        self.next: _Place[Wish, Result] | None = None
        """Whom it wakes when it was woken: all at once would hinder each other."""
        self.result: Result | None = None
        self.error: BaseException | None = None


class Together(Generic[Wish, Result]):
    """`carry` gets all wishes that wait, and answers each, with a result or with its error; what it
    raises is the error of all. Its calls of etcd have deadlines, so nobody waits for ever."""

    def __init__(
        self,
        carry: Callable[[Sequence[Wish]], Sequence[Result | errors.Zk2EtcdError]],
        linger: float = 0.0,
        *,
        first: float = 0.0,
        most: int | None = None,
    ) -> None:
        """:param linger: seconds that one waits who was not the first.
        :param first: those that the first waits.
        :param most: so many go together; the others behind them, while those go on.
        """
        self._carry, self._most = carry, most
        self._linger, self._first = linger, first
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
            expected = min(expected, self._most or expected)
        while not place.leads and not place.called.wait(turn.SLICE):
            turn.touch()
        if place.leads:
            if expected > 1 or (place.called.is_set() and not self._is_enough()):
                self._wait_for(expected)
            elif self._first:
                time.sleep(self._first)
            self._lead()
        elif place.next is not None:
            place.next.called.set()
        if place.error is not None:
            raise place.error
        assert place.result is not None
        return place.result

    def _is_enough(self) -> bool:
        return self._most is not None and len(self._waiting) >= self._most

    def _wait_for(self, expected: int) -> None:
        for _ in range(_PATIENCE + expected // _EACH if expected else 1):
            if self._linger and (not expected or len(self._waiting) < expected):
                time.sleep(self._linger)

    def _lead(self) -> None:
        with self._lock:
            places = self._waiting[: self._most]
            self._waiting = self._waiting[len(places) :]
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
            _wake(places[1:])

    def _hand_on(self) -> None:
        with self._lock:
            self._under_way = bool(self._waiting)
            if self._waiting:
                following = self._waiting[0]
                following.leads = True
                following.called.set()


def _wake(places: Sequence[_Place[Any, Any]]) -> None:
    """The first of these, which wakes the next one: each needs the interpreter for itself."""
    for place, following in itertools.pairwise(places):
        place.next = following
    if places:
        places[0].called.set()
