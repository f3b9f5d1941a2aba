"""Waiting in tests: poll with a deadline, never a bare sleep."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
_SHARE = 0.05
"""Of the time waited so far: the longer it takes, the rarer it is looked, as a look at a supervisor
costs two processes some milliseconds."""
_LONG = 45.0

patience = 1.0
"""By how much deadlines are longer, up to `_LONG` seconds. 1 where they are assertions: in tests
that are `alone`, and in the fault suite; others share the machine: `tests/conftest.py` says 3."""


def until(
    condition: Callable[[], T], timeout: float = 10.0, *, every: float = 0.02, what: str = ""
) -> T:
    """The first true result of `condition`; AssertionError after `timeout` seconds without one, or
    more where the machine is shared. What must be quick is measured, by the caller.

    :param every: seconds between two looks at first; 0 for one that does the work itself.
    """
    began = time.monotonic()
    timeout = max(timeout, min(timeout * patience, _LONG))
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
