r"""Paths with wildcards, by path element: what `exclude` and `only` take. Pure.

`*` stands for any text within one element (alone: for any one element), `**` for any number of
elements; at the end for one or more, so `/a/**` is all below `/a` and not `/a`. `\*` is the
character. What matches is meant with all below it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

ANY_DEPTH = "**"
_END = r"(?=/|\Z)"
"""Of an element."""
_TOKEN = re.compile(r"\\\*|\*+|[^*\\]+|\\")


def check(text: str) -> str:
    """The same text.

    :raises ValueError: it has `**` beside other text within an element.
    """
    for element in text.split("/"):
        if element != ANY_DEPTH and any(len(each) > 1 for each in _stars(element)):
            raise ValueError(f'holds "{element}"; "**" stands for whole elements, "*" for a part')
    return text


def is_concrete(text: str) -> bool:
    """Whether no wildcard is in it: it means one path."""
    return not any(_stars(text))


def escaped(path: str) -> str:
    """The pattern that means just this path."""
    return path.replace("*", r"\*")


def concrete(text: str) -> str:
    """The path that a pattern without wildcards means."""
    return text.replace(r"\*", "*")


def starts(text: str) -> str:
    """The path of the elements before the first with a wildcard: all that matches is below it; the
    whole, if there is none."""
    elements = text.split("/")
    length = next((n for n, each in enumerate(elements) if any(_stars(each))), len(elements))
    return concrete("/".join(elements[:length])) or "/"


class Matcher:
    """Whether a path matches any of these patterns, or lies below one that does."""

    def __init__(self, patterns: Iterable[str]) -> None:
        """:raises ValueError: see `check`."""
        self.patterns = tuple(check(each) for each in patterns)
        lengths = [_elements(each) for each in self.patterns]
        deep = any(ANY_DEPTH in each for each in lengths)
        self._lengths = None if deep else frozenset(map(len, lengths))
        whole = _any(_whole(each) for each in self.patterns)
        self._match = re.compile(f"(?:{whole})(?:/|\\Z)".encode(), re.DOTALL).match
        above = _any(part for each in self.patterns for part in _above(each))
        self._leads = re.compile(f"(?:{above})\\Z".encode(), re.DOTALL).match

    def __call__(self, path: bytes) -> bool:
        return self._match(b"" if path == b"/" else path) is not None

    def may_match_below(self, parent: bytes) -> bool:
        """Whether a child of a path, which does not match itself, may match: told quickly, by the
        number of elements alone."""
        length = 1 if parent == b"/" else parent.count(b"/") + 1
        return self._lengths is None or length in self._lengths

    def leads(self, path: bytes) -> bool:
        """Whether something below a path, which does not match itself, may match."""
        return self._leads(b"" if path == b"/" else path) is not None


def concerns(text: str, source: str) -> bool:
    """Whether a pattern may match something at or below this path."""
    single, path = Matcher([text]), source.encode()
    return single(path) or single.leads(path)


def _stars(text: str) -> list[str]:
    """The wildcards in it, `*` or `**` or more of them."""
    return [each for each in _TOKEN.findall(text) if each.startswith("*")]


@functools.lru_cache(maxsize=1024)
def _element(text: str) -> str:
    """The expression of one element; each that is found in a path has a character at least.

    Names are others', and may be long: what stands between two wildcards is taken where it is found
    first, and nothing else is tried (an atomic group). To try them all would take for ever.
    """
    if text == "*":
        return "[^/]+"
    texts = [""]
    for each in _TOKEN.findall(text):
        if each.startswith("*"):
            texts.append("")
        else:
            texts[-1] += re.escape(concrete(each))
    first, *between, last = texts if len(texts) > 1 else (*texts, "")
    if len(texts) == 1:
        return first
    return f"{first}{''.join(f'(?>[^/]*?{each})' for each in between)}[^/]*{last}{_END}"


def _elements(text: str) -> list[str]:
    return [] if text == "/" else text[1:].split("/")


def _joined(elements: list[str]) -> str:
    """`**` leads, too, to where what follows is found first: all the rest is below that."""
    parts: list[list[str]] = [[]]
    for each in elements:
        if each == ANY_DEPTH:
            parts.append([])
        else:
            parts[-1].append(f"/{_element(each)}")
    first, *further = ["".join(part) for part in parts]
    return first + "".join(f"(?>(?:/[^/]+)*?{part}{_END})" for part in further if part)


def _any(expressions: Iterable[str]) -> str:
    found = list(expressions)
    return "|".join(found) if found else "(?!)"


def _whole(text: str) -> str:
    elements = _elements(text)
    below = "/[^/]+" if elements and elements[-1] == ANY_DEPTH else ""
    return _joined(elements) + below


def _above(text: str) -> list[str]:
    """Expressions of the paths that lie above what matches."""
    elements = _elements(text)
    depth = elements.index(ANY_DEPTH) if ANY_DEPTH in elements else len(elements)
    above = [_joined(elements[:length]) for length in range(min(depth, len(elements)))]
    return above if depth == len(elements) else [*above, f"{_joined(elements[:depth])}(?:/.*)?"]
