"""What is wrong with a configuration: where, which key, and what to do; never the value itself."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Sequence

from zk2etcd import errors

Path = tuple[str | int, ...]
"""The way to a value: keys of mappings, places in lists."""

MOST = 200
"""Faults that are written out; the others are counted."""

_SHOWABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")


@dataclasses.dataclass(frozen=True)
class Mark:
    """A place in what was read: the file as it was named, and the line from 1 (0: the whole)."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault. `spoils`: the value is lost; what is found at or below `path` follows from it."""

    mark: Mark
    path: Path
    what: str
    spoils: bool = False

    def __str__(self) -> str:
        key = f"{dotted(self.path)}: " if self.path else ""
        return f"{self.mark}: {key}{self.what}"


def showable(key: str) -> bool:
    """False for a key that may be a value in the wrong place, such as `{user:secret}`."""
    return _SHOWABLE.fullmatch(key) is not None


def dotted(path: Path) -> str:
    """`sync.prefixes[0].from`"""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if showable(part) else "(key not shown)")
    return text


def without_consequences(found: Iterable[Fault]) -> list[Fault]:
    """The faults in the order found, without repetitions and what follows from an earlier one."""
    kept: dict[str, Fault] = {}
    spoilt: set[Path] = set()
    for fault in found:
        above = (fault.path[:length] for length in range(1, len(fault.path) + 1))
        if str(fault) not in kept and not any(path in spoilt for path in above):
            kept[str(fault)] = fault
            if fault.spoils:
                spoilt.add(fault.path)
    return list(kept.values())


def error(found: Iterable[Fault], sources: Sequence[str]) -> errors.ConfigError:
    """One error with a line for each fault, in the order of the sources and their lines."""
    order = {source: place for place, source in enumerate(sources)}

    def place(fault: Fault) -> tuple[int, int]:
        return order.get(fault.mark.source, len(order)), fault.mark.line

    lines = [str(fault) for fault in sorted(found, key=place)]
    if len(lines) > MOST:
        lines[MOST:] = [f"... and {len(lines) - MOST} more faults"]
    return errors.ConfigError(lines)
