"""What one event looks like as a line: JSON for machines, columns for people.

A line is always kept below LINE_LIMIT, since a write to a pipe is atomic only up to 4,096 bytes and
several processes write to the same one. Values that came from outside, such as the names of nodes,
never break a line or steer a terminal.
"""

from __future__ import annotations

import struct
from collections.abc import MutableMapping, Sequence
from typing import Any

import orjson

from zk2etcd import text

LINE_LIMIT = 4096
_SHORTENINGS = (1024, 256, 64)
_ESSENTIAL = ("timestamp", "level", "event", "process")
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN = "\x1b[0m"
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS

Event = MutableMapping[str, Any]


def json_line(event: Event) -> bytes:
    """The event as one JSON line under LINE_LIMIT bytes; longer values lose their middle."""
    line = _json(event)
    for limit in _SHORTENINGS:
        if len(line) < LINE_LIMIT:
            break
        line = _json({key: _cut(value, limit) for key, value in event.items()})
    if len(line) >= LINE_LIMIT:
        essential = {key: _cut(event[key], 256) for key in _ESSENTIAL if key in event}
        line = _json({**essential, "truncated": True})
    return line


def json_lines(head: Event, rows: Sequence[Event]) -> bytes:
    """One line for each of `rows`, which may be many: `head`'s fields and its own. Nearly all are
    short and flat, so they are made in one go, and cut where one ends: within a string a quote is
    escaped, so no `},{"` is."""
    try:
        first = orjson.dumps(head)[:-1] + b","
        ends = orjson.dumps(rows)[2:-1].replace(b'},{"', b"}\n" + first + b'"')
    except TypeError:  # a value or a key that takes more
        return _one_by_one(head, rows)
    lines = first + ends + b"\n"
    if _is_unclean(lines):
        return _one_by_one(head, rows)
    fits = lines.count(b"\n") == len(rows) and _all_short(lines)
    return lines if fits else _one_by_one(head, rows)


def _all_short(lines: bytes) -> bool:
    """Whether each is below LINE_LIMIT, without a look at each."""
    start = 0
    while start < len(lines):
        start = lines.rfind(b"\n", start, start + LINE_LIMIT - 1) + 1
        if not start:
            return False
    return True


def _one_by_one(head: Event, rows: Sequence[Event]) -> bytes:
    return b"".join(json_line({**head, **row}) for row in rows)


def console_line(event: Event, coloured: bool) -> bytes:
    """The event for a person: time, level, process, what happened, then key=value."""
    rest = dict(event)
    moment, level = str(rest.pop("timestamp"))[11:23], str(rest.pop("level"))
    process, what = rest.pop("process", ""), text.printable(str(rest.pop("event", "")))
    exception = rest.pop("exception", None)
    pairs = " ".join(f"{key}={_shown(value)}" for key, value in rest.items())
    mark, end = (_COLOURS[level], _PLAIN) if coloured else ("", "")
    line = f"{moment} {mark}{level:<7}{end} {process:<10} {what}{'  ' if pairs else ''}{pairs}\n"
    if exception:
        line += "".join(f"  {text.printable(part)}\n" for part in str(exception).splitlines())
    return line.encode("utf-8", "backslashreplace")


def _json(event: Event) -> bytes:
    try:
        line = orjson.dumps(event, default=_plain, option=_OPTIONS)
    except TypeError:  # a lone surrogate, or an integer over 64 bits
        safe = {key: _cut(_safe(value), LINE_LIMIT) for key, value in event.items()}
        line = orjson.dumps(safe, option=_OPTIONS)
    return _shown_only(line) if _is_unclean(line) else line


def _is_unclean(lines: bytes) -> bool:
    """Whether there may be what a terminal obeys; nearly all lines are ASCII, and tell at once."""
    if lines.isascii():
        return b"\x7f" in lines
    return not lines.replace(b"\n", b" ").decode().isprintable()


def _shown_only(line: bytes) -> bytes:
    """JSON escapes for what is not printable: C1 controls, marks that turn the reading direction.
    It means the same, and whoever reads the log with `less -r` or `cat` sees it."""
    return "".join(map(_escaped, line[:-1].decode())).encode() + line[-1:]


def _escaped(char: str) -> str:
    if char.isprintable():
        return char
    return "".join(
        f"\\u{unit:04x}" for (unit,) in struct.iter_unpack(">H", char.encode("utf-16-be"))
    )


def _safe(value: object) -> object:
    if value is None or isinstance(value, (bool, float)):
        return value
    return value if isinstance(value, int) and abs(value) < 2**63 else _sane(str(value))


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, (set, frozenset)):
        return list(value)
    return _sane(str(value))


def _sane(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()


def _cut(value: object, limit: int) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return text.shortened(value, limit)
    return text.shortened(_json({"": value})[4:-2].decode(), limit)


def _shown(value: object) -> str:
    shown = text.printable(value if isinstance(value, str) else _json({"": value})[4:-2].decode())
    return f'"{shown}"' if not shown or " " in shown else shown
