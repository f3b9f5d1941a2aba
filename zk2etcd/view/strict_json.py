"""JSON as both ends of the admin address read it: what one of ours never writes is refused.

A name that comes twice may mean one thing to who checks it and another to who acts on it; a number
that is none, or has a thousand digits, breaks what is computed with it far from here.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

_LARGEST = 2**63


def loads(raw: bytes) -> Any:
    """The value. Raises ValueError for anything else than plain JSON in UTF-8."""
    try:
        return json.loads(
            raw.decode("utf-8"),
            parse_constant=_refused,
            parse_float=_number,
            parse_int=_whole,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refused(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _number(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError("a number is too large")
    return found


def _whole(digits: str) -> int:
    found = int(digits) if len(digits) < 21 else _LARGEST
    if abs(found) >= _LARGEST:
        raise ValueError("a number is too large")
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found
