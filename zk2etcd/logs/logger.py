"""Logging for every process: structured, cheap, and whole lines only.

All processes share one stderr, and one file if there is one; each line is part of a single write,
so lines of two workers never run into each other. The level lives in one variable here that each
call reads, so it can change while the process runs, also for loggers that were bound long before.
"""

from __future__ import annotations

import datetime
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zk2etcd.logs import file as files, lines as log_lines, repeats, stderr

if TYPE_CHECKING:
    from zk2etcd.config import models

# structlog imports rich (5 MB a process) when it finds it, for a renderer that is not used here.
_HIDE_RICH = "rich" not in sys.modules
if _HIDE_RICH:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _HIDE_RICH:
    del sys.modules["rich"]

_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_EVENTS_RESERVE = 0.5

Event = log_lines.Event


class _Setting:
    """What `setup` and `set_level` change; read at each call."""

    threshold = _LEVELS["info"]
    process = ""
    json = not os.isatty(2)
    """Whether stderr gets JSON, as the file always does."""
    coloured = False
    file: files.File | None = None
    events = False


class _Held:
    """What was held back as a repetition, in this process."""

    lock = threading.Lock()
    repeats = repeats.Repeats()


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


class _Sinks:
    """The end of the chain. A log that cannot be written stops nothing."""

    def _write(self, event: Event) -> None:
        _emit(event)

    debug = info = warning = error = _write


def setup(process: str, log: models.Log, level: str | None = None) -> None:
    """Prepare this process: `process` is "supervisor" or the slot; `level` goes over `log.level`.

    Warnings of libraries (kazoo, grpc, waitress), uncaught exceptions of threads and Python's own
    warnings come out in the same form. A log file that cannot be opened is said, and tried again
    with each line; `check` it first where that is not enough.
    """
    _Setting.process = process
    terminal = os.isatty(2)
    _Setting.json = log.format == "json" or (log.format == "auto" and not terminal)
    _Setting.coloured = terminal and not os.environ.get("NO_COLOR")
    _Setting.events = log.events
    set_level(level or log.level)
    _set_file(log.file)
    root = logging.getLogger()
    root.handlers[:] = [_Foreign()]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)
    threading.excepthook = _thread_died


def check(log: models.Log) -> None:
    """:raises errors.StartError: the log file cannot be opened."""
    files.check(log.file)


def get(**context: object) -> Logger:
    """A logger that adds `context` to each of its lines. Values must not be secrets."""
    return Logger(_Sinks(), structlog.get_config()["processors"], dict(context))


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


def be_patient() -> None:
    """Rather wait for a slow reader of standard error than drop a line, for some seconds."""
    _STDERR.be_patient()


def hears_debug() -> bool:
    """Whether debug lines are said: for those that cost something to make."""
    return _Setting.threshold <= 10


def wants_changes() -> bool:
    """Whether each change that is mirrored is to be logged (`log.events`)."""
    return _Setting.events


def changes(common: dict[str, Any], rows: Sequence[Event]) -> None:
    """One line for each change, whatever the level: the fields `common` to all, and its own."""
    first = {"timestamp": _now(), "level": "info", "event": "mirrored", "process": _Setting.process}
    _emit({**first, **common}, rows, _EVENTS_RESERVE)


def tend() -> None:
    """Say what was held back for long enough; called now and then by whoever has a loop."""
    if time.monotonic() >= _Held.repeats.wakes_at:
        with _Held.lock:
            ended = _Held.repeats.ended(time.monotonic())
        for each in ended:
            _emit({**each, "timestamp": _now()})


def close() -> None:
    """Say what was held back: this process ends, or forgets."""
    with _Held.lock:
        ended = _Held.repeats.close(time.monotonic())
    for each in ended:
        _emit({**each, "timestamp": _now()})


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    return now.replace("+00:00", "Z")


def _stamp(_logger: object, method: str, event: Event) -> Event:
    what = event.pop("event", "")
    stamped = {"timestamp": _now(), "level": method, "event": what}
    if _Setting.process:
        stamped["process"] = _Setting.process
    return {**stamped, **event}


def _hold(_logger: object, _method: str, event: Event) -> Event:
    tend()
    if event["level"] != "info":
        with _Held.lock:
            admitted = _Held.repeats.admits(event, time.monotonic())
        if not admitted:
            raise structlog.DropEvent
    return event


def _as_argument(_logger: object, _method: str, event: Event) -> tuple[tuple[Event], Event]:
    return (event,), {}


def _emit(head: Event, rows: Sequence[Event] = ({},), reserve: float = 0.0) -> None:
    """A line for each of `rows`, the fields of `head` before its own."""
    file = _Setting.file
    if file is not None or _Setting.json:
        lines = log_lines.json_lines(head, rows) if rows[0] else log_lines.json_line(head)
        if file is not None:
            file.write(lines)
    if not _Setting.json:
        each = ({**head, **row} for row in rows)
        lines = b"".join(log_lines.console_line(event, _Setting.coloured) for event in each)
    _STDERR.write(lines, reserve)


def _on_stderr(event: Event) -> bytes:
    if _Setting.json:
        return log_lines.json_line(event)
    return log_lines.console_line(event, _Setting.coloured)


def _set_file(settings: models.LogFile | None) -> None:
    file = _Setting.file
    if settings is None:
        _Setting.file = None
        if file is not None:
            file.close()
    elif file is not None:
        file.change(settings)
    else:
        _Setting.file = files.File(settings, _file_says)


def _file_says(what: str, **fields: object) -> None:
    """On stderr alone."""
    _STDERR.write(_on_stderr(_stamp(None, "warning", {"event": what, **fields})))


def _dropped(count: int) -> bytes:
    what = "log lines dropped: nobody read standard error fast enough"
    return _on_stderr(_stamp(None, "warning", {"event": what, "lines": count}))


class _Foreign(logging.Handler):
    """Brings what libraries log through the standard library's logging into our form."""

    def emit(self, record: logging.LogRecord) -> None:
        method = "error" if record.levelno >= logging.ERROR else "warning"
        log = get(logger=record.name)
        getattr(log, method)(record.getMessage(), exc_info=record.exc_info)


def _thread_died(failure: threading.ExceptHookArgs) -> None:
    name = failure.thread.name if failure.thread else "unknown"
    get(thread=name).error("thread ended by an exception", exc_info=failure.exc_value)


_STDERR = stderr.Stderr(_dropped)
structlog.configure(
    processors=[_stamp, structlog.processors.format_exc_info, _hold, _as_argument],
    wrapper_class=Logger,
)
