"""Logging for every process: structured, cheap, and whole lines only.

All processes share one stderr. A write to a pipe is atomic only up to 4,096 bytes, so each line is
one write and is kept shorter than that; otherwise lines of two workers would run into each other.
The level lives in one variable here that each call reads, so it can change while the process runs,
also for loggers that were bound long before.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

import orjson

from zk2etcd import text

if TYPE_CHECKING:
    from zk2etcd import config

# structlog imports rich (5 MB a process) when it finds it, for a renderer that is not used here.
_HIDE_RICH = "rich" not in sys.modules
if _HIDE_RICH:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _HIDE_RICH:
    del sys.modules["rich"]

LINE_LIMIT = 4096
_SHORTENINGS = (1024, 256, 64)
_ESSENTIAL = ("timestamp", "level", "event", "process")
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_COLOURS = {"debug": "\x1b[2m", "info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_PLAIN = "\x1b[0m"

Event = MutableMapping[str, Any]


class _Setting:
    """What `setup` and `set_level` change; read at each call."""

    threshold = _LEVELS["info"]
    process = ""
    render: Callable[[Event], bytes]


class Logger(structlog.BoundLoggerBase):
    """A bound logger: `bind(**context)` returns one with more context. Levels are live."""

    def debug(self, event: str, **context: object) -> None:
        """What only a developer looks for."""
        if _Setting.threshold <= 10:
            self._proxy_to_logger("debug", event, **context)

    def info(self, event: str, **context: object) -> None:
        """What an operator expects to read."""
        if _Setting.threshold <= 20:
            self._proxy_to_logger("info", event, **context)

    def warning(self, event: str, **context: object) -> None:
        """What went wrong and is being handled."""
        if _Setting.threshold <= 30:
            self._proxy_to_logger("warning", event, **context)

    def error(self, event: str, **context: object) -> None:
        """What a person should look at."""
        self._proxy_to_logger("error", event, **context)

    def exception(self, event: str, **context: object) -> None:
        """`error`, with the traceback of the exception being handled."""
        self.error(event, **{"exc_info": True, **context})


class _Stderr:
    """The end of the chain: one line, one write. A log that cannot be written stops nothing."""

    def _write(self, line: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(2, line)

    debug = info = warning = error = _write


def setup(process: str, log: config.Log, level: str | None = None) -> None:
    """Prepare this process: `process` is "supervisor" or the slot; `level` goes over `log.level`.

    Warnings of libraries (kazoo, grpc, waitress), uncaught exceptions of threads and Python's own
    warnings come out in the same form.
    """
    _Setting.process = process
    _Setting.render = _renderer(log.format)
    set_level(level or log.level)
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_died


def get(**context: object) -> Logger:
    """A logger that adds `context` to each of its lines. Values must not be secrets."""
    return Logger(_Stderr(), structlog.get_config()["processors"], dict(context))


def new_trace() -> str:
    """An id for the field `trace_id` of all lines that belong together: 16 hex digits."""
    return os.urandom(8).hex()


def set_level(level: str) -> None:
    """Log from `level` (debug, info, warning, error) on, at once and in this process only.

    Raises ValueError for any other word.
    """
    if level not in _LEVELS:
        raise ValueError(f"unknown log level {level!r}: use one of {', '.join(_LEVELS)}")
    _Setting.threshold = _LEVELS[level]


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


def _stamp(_logger: object, method: str, event: Event) -> Event:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    what = event.pop("event", "")
    stamped = {"timestamp": now.replace("+00:00", "Z"), "level": method, "event": what}
    if _Setting.process:
        stamped["process"] = _Setting.process
    info = event.pop("exc_info", None)
    if info:
        event["exception"] = _traceback(info)
    return {**stamped, **event}


def _render(_logger: object, _method: str, event: Event) -> bytes:
    return _Setting.render(event)


def _renderer(form: str) -> Callable[[Event], bytes]:
    terminal = os.isatty(2)
    if form == "json" or (form == "auto" and not terminal):
        return json_line
    coloured = terminal and not os.environ.get("NO_COLOR")
    return lambda event: console_line(event, coloured)


def _traceback(info: object) -> str:
    if isinstance(info, BaseException):
        return "".join(traceback.format_exception(info))
    if isinstance(info, tuple):
        return "".join(traceback.format_exception(*info))
    return traceback.format_exc()


def _json(event: Event) -> bytes:
    options = orjson.OPT_APPEND_NEWLINE | orjson.OPT_NON_STR_KEYS
    try:
        return orjson.dumps(event, default=_plain, option=options)
    except TypeError:  # a lone surrogate, or an integer over 64 bits
        safe = {key: _cut(_safe(value), LINE_LIMIT) for key, value in event.items()}
        return orjson.dumps(safe, option=options)


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


class _Foreign(logging.Handler):
    """Brings what libraries log through the standard library's logging into our form."""

    def emit(self, record: logging.LogRecord) -> None:
        method = "error" if record.levelno >= logging.ERROR else "warning"
        log = get(logger=record.name)
        getattr(log, method)(record.getMessage(), exc_info=record.exc_info)


def _thread_died(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else "unknown"
    get(thread=name).error("thread ended by an exception", exc_info=failure.exc_value)


_Setting.render = _renderer("auto")
structlog.configure(processors=[_stamp, _render], wrapper_class=Logger)
