"""`${NAME}` and `${NAME:-default}` in scalars, filled after parsing.

After parsing, so that no value, whatever it holds, can change the structure of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_DOLLAR = re.compile(r"\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}|(\{))")
_LONGEST = 64 * 1024


class FillError(ValueError):
    """Each argument says one thing that is wrong, without any value."""


def fill(text: str, environ: Mapping[str, str]) -> str:
    """The text with its references replaced; `$$` is a dollar, a lone `$` stays.

    As in a shell, the default also stands in for an empty variable.

    :raises FillError: a variable is unset and has no default, or is not UTF-8; `${` is not a
        reference; or the result exceeds 64 KiB.
    """
    parts: list[str] = []
    problems: dict[str, None] = {}
    at = length = 0
    for match in _DOLLAR.finditer(text):
        try:
            parts += (text[at : match.start()], _replacement(match, environ))
        except ValueError as problem:
            problems[str(problem)] = None
            parts += ("", "")
        at = match.end()
        length += len(parts[-1]) + len(parts[-2])
        if length > _LONGEST:
            raise FillError(f"is longer than {_LONGEST} characters once filled")
    if problems:
        raise FillError(*problems)
    return "".join((*parts, text[at:]))


def may_be_empty(text: str) -> bool:
    """Whether whoever wrote this said that nothing may come of it: `${NAME:-}`, nothing else."""
    found = list(_DOLLAR.finditer(text))
    return bool(found) and all(match.group(3) is not None for match in found)


def names_its_value(text: str) -> bool:
    """Whether the value itself comes from the environment, and no default of it stands here."""
    found = [match for match in _DOLLAR.finditer(text) if match.group(2)]
    return bool(found) and not any(match.group(4) for match in found)


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    dollar, name, has_default, default, broken = match.groups()
    if dollar:
        return "$"
    if broken:
        raise ValueError(
            "holds ${ that begins no ${NAME} or ${NAME:-default}; write $$ for a dollar"
        )
    value = environ.get(name)
    if has_default and not value:
        return str(default)
    if value is None:
        raise ValueError(
            f"environment variable {name} is not set; set it, or write ${{{name}:-default}}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"environment variable {name} is not UTF-8") from None
    return value
