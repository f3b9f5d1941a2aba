"""YAML text to a tree that knows its lines, built from the parser's events.

Events rather than PyYAML's own loader: so aliases, anchors, tags, duplicate keys and further
documents are seen as such, all of them, with their lines, and no object is ever constructed.
Scalars mean what YAML 1.2 says (`yes` is a text, `1:30` is no number); see decision 0010.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import yaml

from zk2etcd.config import faults

_DEEPEST = 32
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = ("", "~", "null", "Null", "NULL")
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}|0x[0-9a-fA-F]{1,15}|0o[0-7]{1,20}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,18}|[0-9]{1,18}(\.[0-9]{0,18})?)([eE][-+]?[0-9]{1,3})?")
# What a parser quotes of what it found may be a piece of a secret; what it expected is not.
_FOUND = re.compile(r", but (found|got) .*", re.DOTALL)
_QUOTED = re.compile(r"'[^']*'")


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A leaf as it was written. `argument`: it comes from the command line."""

    mark: faults.Mark
    text: str = dataclasses.field(repr=False)
    plain: bool = True
    argument: bool = False


@dataclasses.dataclass(frozen=True)
class Sequence:
    mark: faults.Mark
    items: tuple[Node, ...]


@dataclasses.dataclass(frozen=True)
class Mapping:
    mark: faults.Mark
    items: dict[str, Node]


Node = Scalar | Sequence | Mapping


@dataclasses.dataclass(frozen=True)
class Parsed:
    """A document's tree, None if there is none to go on with, and what is wrong with it."""

    root: Node | None
    faults: tuple[faults.Fault, ...]


def parse(text: str, source: str, *, path: faults.Path = (), argument: bool = False) -> Parsed:
    """The one document in `text`; an argument's marks carry no line. Never raises."""
    builder = _Builder(text, source, path, argument)
    try:
        root = builder.document()
    except _TooDeepError:
        return Parsed(None, tuple(builder.faults))
    except yaml.YAMLError as error:
        builder.refuse(_line(error), path, _problem(error))
        return Parsed(None, tuple(builder.faults))
    return Parsed(root, tuple(builder.faults))


def resolved(text: str) -> str | int | float | bool | None:
    """What a plain scalar means by the core schema of YAML 1.2; numbers of sane length only."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def merged(base: Node, over: Node) -> Node:
    """`over` laid on `base`: mappings merge key by key, all else replaces."""
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    items = dict(base.items)
    for key, node in over.items.items():
        items[key] = merged(items[key], node) if key in items else node
    return Mapping(base.mark, items)


def located(root: Node, path: faults.Path) -> tuple[Node, faults.Path]:
    """The node at `path`, or the nearest one above it, with the path that led there."""
    node = root
    for depth, part in enumerate(path):
        inner = _child(node, part)
        if inner is None:
            return node, path[:depth]
        node = inner
    return node, path


def _child(node: Node, part: str | int) -> Node | None:
    if isinstance(node, Mapping) and isinstance(part, str):
        return node.items.get(part)
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None


class _TooDeepError(Exception):
    pass


class _Builder:
    """One parse: events in, a tree out, faults collected on the way."""

    def __init__(self, text: str, source: str, path: faults.Path, argument: bool) -> None:
        self.faults: list[faults.Fault] = []
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_PARSER))
        self._source, self._path, self._argument = source, path, argument

    def document(self) -> Node | None:
        root = None
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent) or event.start_mark is None:
                continue
            if root is not None:
                self.refuse(event.start_mark.line + 1, (), "a second document; keep one a file")
                break
            root = self._node(next(self._events), self._path, None)
        return root

    def refuse(self, line: int, path: faults.Path, what: str) -> None:
        self.faults.append(faults.Fault(self._mark(line), path, what))

    def _mark(self, line: int) -> faults.Mark:
        return faults.Mark(self._source, 0 if self._argument else line)

    def _node(self, event: Any, path: faults.Path, line: int | None) -> Node:
        """The node that `event` begins; `line` is its key's, where it has one."""
        line = event.start_mark.line + 1 if line is None else line
        if isinstance(event, yaml.AliasEvent):
            what = "aliases (*name) are refused; write the value out"
            self.faults.append(faults.Fault(self._mark(line), path, what, spoils=True))
            return Scalar(self._mark(line), "")
        if event.anchor is not None:
            self.refuse(line, path, "anchors (&name) are refused; remove it")
        if event.tag is not None:
            self.refuse(line, path, "tags (!name) are refused; remove it")
        if len(path) > _DEEPEST:
            self.refuse(line, path[:2], f"is nested more than {_DEEPEST} deep")
            raise _TooDeepError
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(path, line)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(path, line)
        plain = event.style in (None, "")
        return Scalar(self._mark(line), event.value, plain, self._argument)

    def _sequence(self, path: faults.Path, line: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items)), None))
        return Sequence(self._mark(line), tuple(items))

    def _mapping(self, path: faults.Path, line: int) -> Mapping:
        items: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            at = event.start_mark.line + 1
            key = self._key(event, path, at)
            value = self._node(next(self._events), path if key is None else (*path, key), at)
            if key is None:
                continue
            if key in items:
                first = "" if self._argument else f" (first in line {lines[key]})"
                self.refuse(at, (*path, key), f"is given twice{first}; keep one")
            items[key], lines[key] = value, lines.get(key, at)
        return Mapping(self._mark(line), items)

    def _key(self, event: Any, path: faults.Path, line: int) -> str | None:
        node = self._node(event, path, line)
        if isinstance(node, Scalar) and node.text != "<<":
            return node.text
        what = "merges (<<) are" if isinstance(node, Scalar) else "a list or mapping as a key is"
        self.refuse(line, path, f"{what} refused; write the keys out")
        return None


def _line(error: yaml.YAMLError) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else 0


def _problem(error: yaml.YAMLError) -> str:
    problem = getattr(error, "problem", None)
    if problem is None:
        return "holds a character that YAML does not allow; remove it"
    if "nesting depth" in problem:
        # PyYAML 6.0.4 and later give up by themselves, before we see the first event.
        return f"is nested more than {_DEEPEST} deep"
    said = _FOUND.sub("", problem)
    said = said if "expected" in said else _QUOTED.sub("it", said)
    return f"is not YAML: {said}; look at this line and the one before, and put texts in quotes"
