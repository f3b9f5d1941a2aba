"""Which warnings and errors are said, and which are only counted. Pure.

An error that comes again every second says nothing new, and a hundred thousand paths that cannot
be read fill a disk. So the same line is said once in a window, and of lines that differ by their
path alone the first few are; when the window ends, one line says how many more there were. A line
that differs in anything else is never held back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

WINDOW = 30.0
LONGEST = 600.0
SHOWN = 20
_MOST = 1000
_PATHS = ("path", "key")
_VOLATILE = frozenset({"timestamp", "attempt"})
_OF_ONE_START = frozenset({*_VOLATILE, "trace_id", "cause"})
_OF_ONE_PATH = frozenset({*_VOLATILE, *_PATHS})

Event = Mapping[str, Any]
Kind = tuple[object, ...]


@dataclasses.dataclass
class _Window:
    """`said` lines of a kind since `began`, and how many were held back, `last` being the last."""

    began: float
    seconds: float
    said: int = 0
    held: int = 0
    last: Event = dataclasses.field(default_factory=dict)


class Repeats:
    """`now` is monotonic. Not safe to use from several threads."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {}
        self.wakes_at = float("inf")
        """When a window ends first."""

    def admits(self, event: Event, now: float) -> bool:
        """Shall this line be said? If not, it is counted."""
        of_path = any(key in event for key in _PATHS)
        level = event.get("level")
        if level == "info" or (level == "debug" and not of_path):
            return True
        kind = _kind(event, _OF_ONE_PATH if of_path else _OF_ONE_START)
        window = self._windows.get(kind)
        if window is None:
            if len(self._windows) >= _MOST:
                return True
            window = self._windows[kind] = _Window(now, WINDOW)
            self.wakes_at = min(self.wakes_at, now + WINDOW)
        if window.said < (SHOWN if of_path else 1):
            window.said += 1
            return True
        window.held += 1
        window.last = event
        return False

    def ended(self, now: float) -> list[dict[str, Any]]:
        """The lines about what was held back in windows that are over. Where there was something,
        a longer one begins, in which all of its kind is held back."""
        lines = []
        for kind, window in list(self._windows.items()):
            if now < window.began + window.seconds:
                continue
            if window.held:
                lines.append(_summary(window, now))
                longer = min(2 * window.seconds, LONGEST)
                self._windows[kind] = _Window(now, longer, said=window.said)
            else:
                del self._windows[kind]
        self.wakes_at = min(
            (each.began + each.seconds for each in self._windows.values()), default=float("inf")
        )
        return lines

    def close(self, now: float) -> list[dict[str, Any]]:
        """The lines about all that was held back until now: nothing comes after."""
        lines = [_summary(each, now) for each in self._windows.values() if each.held]
        self._windows.clear()
        return lines


def _summary(window: _Window, now: float) -> dict[str, Any]:
    known = {key: value for key, value in window.last.items() if key not in (*_PATHS, "exception")}
    return {**known, "repeated": window.held, "in_seconds": round(now - window.began, 1)}


def _kind(event: Event, without: frozenset[str]) -> Kind:
    return tuple(
        (key, value if isinstance(value, str | int | float | None) else repr(value))
        for key, value in event.items()
        if key not in without
    )
