"""Durations and sizes as people write them, to numbers and back.

A bare `300` in a file leaves its reader to guess between milliseconds and minutes, so a duration
needs a unit. Only Go's units count: durationpy also knows `mm` for a month, and a slip of the
finger for `ms` must not become thirty days. durationpy is imported when a text is parsed: workers
unpickle configurations and never parse one.
"""

from __future__ import annotations

import re

import pydantic

DURATION_PATTERN = r"^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)"
DURATION_PATTERN += r"(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))*)$"
"""Go's time.ParseDuration without a sign: no duration here may be negative."""

SIZE_PATTERN = r"^[0-9]+(\.[0-9]+)? ?[A-Za-z]*$"

_DURATION = re.compile(DURATION_PATTERN)
_SIZE = re.compile(SIZE_PATTERN)
_LONGEST = 32
_BYTES = pydantic.TypeAdapter(pydantic.ByteSize)
_BINARY = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def parse_duration(text: str) -> float:
    """Seconds of a text such as `1m30s`, `500ms` or `0`, to the microsecond.

    :raises ValueError: it is not a duration, or too long or too short to be told from 0.
    """
    import durationpy  # noqa: PLC0415

    if len(text) > _LONGEST or not _DURATION.fullmatch(text):
        raise ValueError("not a duration")
    try:
        seconds = float(durationpy.from_str(text).total_seconds())
    except durationpy.DurationError:
        raise ValueError("not a duration") from None
    if seconds == 0 and re.search("[1-9]", text):
        raise ValueError("shorter than a microsecond")
    return seconds


def show_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` takes back to the same microsecond: `5m`, `1.5s`."""
    micros = round(seconds * 1_000_000)
    if micros == 0:
        return "0"
    if micros < 1_000:
        return f"{micros}us"
    if micros < 1_000_000:
        return f"{_decimal(micros, 1_000)}ms"
    hours, micros = divmod(micros, 3_600_000_000)
    minutes, micros = divmod(micros, 60_000_000)
    parts = (f"{hours}h" if hours else "", f"{minutes}m" if minutes else "")
    return "".join(parts) + (f"{_decimal(micros, 1_000_000)}s" if micros else "")


def parse_size(text: str) -> int:
    """Bytes of a text such as `512KiB`, `1.5MB` or `4096`.

    :raises ValueError: it is not a size.
    """
    if len(text) > _LONGEST or not _SIZE.fullmatch(text):
        raise ValueError("not a size")
    try:
        return int(_BYTES.validate_python(text))
    except (pydantic.ValidationError, OverflowError):
        raise ValueError("not a size") from None


def show_size(size: int) -> str:
    """The size in the largest binary unit that divides it: `512KiB`, `1000B`."""
    for unit, factor in _BINARY:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def _decimal(value: int, scale: int) -> str:
    whole, rest = divmod(value, scale)
    digits = len(str(scale)) - 1
    return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") if rest else str(whole)
