"""Text that came from outside (znode names, servers' messages) made safe for a terminal and a log.

Anyone who may create a znode chooses its name, and a name may hold what a terminal obeys: escape
sequences, or marks that turn the reading direction. So what is not printable is shown, not sent.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text on one line; a character that is not printable is written as `\x1b` or `\u202e`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters: the middle goes, since the ends tell most of a path."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")
