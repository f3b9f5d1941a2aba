"""Text that came from outside (znode names, servers' messages) made safe for a terminal and a log.

Anyone who may create a znode chooses its name, and a name may hold what a terminal obeys: escape
sequences, or marks that turn the reading direction. So what is not printable is shown, not sent.
"""

from __future__ import annotations

from collections.abc import Sequence


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


def few(names: Sequence[str], most: int) -> str:
    """The first of them, at most so many, and how many more there are: `a, b and 3 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def bucket(source: str, number: int, buckets: int) -> str:
    """What a shard mirrors, for a person: `/dubbo`, or `/dubbo 1/3`, the first of three buckets."""
    return source if buckets == 1 else f"{source} {number + 1}/{buckets}"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def duration(seconds: float) -> str:
    """A time span in its two largest units, as a person says it: `120 ms`, `4.2 s`, `3m 5s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    for large, small, unit, below in ((86400, 3600, "d", "h"), (3600, 60, "h", "m")):
        if seconds >= large:
            return f"{seconds // large:.0f}{unit} {seconds % large // small:.0f}{below}"
    return f"{seconds // 60:.0f}m {seconds % 60:.0f}s"


def size(count: float) -> str:
    """Bytes with a unit: `512 B`, `47.7 MiB`."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
