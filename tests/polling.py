"""Waiting in tests: poll with a deadline, never a bare sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_SHARE = 0.05
"""Of the time waited so far: the longer it takes, the rarer it is looked, as a look at a supervisor
costs two processes some milliseconds."""


def until(
    condition: Callable[[], T], timeout: float = 10.0, *, every: float = 0.02, what: str = ""
) -> T:
    """The first true result of `condition`; AssertionError after `timeout` seconds without one.

    :param every: seconds between two looks at first; 0 for one that does the work itself.
    """
    began = time.monotonic()
    deadline = began + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", repr(condition))
            raise AssertionError(f"not within {timeout:g} s: {name} (last: {result!r})")
        if every:
            time.sleep(max(every, _SHARE * (time.monotonic() - began)))
