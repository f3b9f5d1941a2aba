"""Each room says what it is for, docs/architecture.md knows each module, and none is too large.

The last is CONTRIBUTING.md's "small rooms", with some room above its figures: here they bite.
"""

from __future__ import annotations

import ast
import collections
import pathlib
import re
from collections.abc import Iterable, Iterator

from tests import documents
from tests.unit import product

ARCHITECTURE = documents.ROOT / "docs" / "architecture.md"
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_MODULES = 330, 45, 14
WIDE = {"config", "cli"}
"""Rooms of one file a subcommand, and one a kind of setting: they may have more modules."""
_ROW = re.compile(r"^\| `([\w/]+)` \| (.+?) \|", re.MULTILINE)


def rows(text: str) -> list[tuple[str, str]]:
    """(path, what it decides) of each table row that begins with a path in code."""
    return _ROW.findall(text)


def faults(text: str, modules: Iterable[str]) -> list[str]:
    """What the tables of the architecture lack, or have twice, of these modules."""
    known = set(modules)
    rooms = {path.rpartition("/")[0] for path in known} - {""}
    found = [row for row in rows(text) if row[0] in known or row[0].rpartition("/")[0] in rooms]
    paths = collections.Counter(path for path, _ in found)
    words = collections.Counter(said for _, said in found)
    return [
        *(f"no row: {path}" for path in sorted(known - paths.keys())),
        *(f"no such module: {path}" for path in sorted(paths.keys() - known)),
        *(f"{count} rows: {path}" for path, count in sorted(paths.items()) if count > 1),
        *(f"said of {count} modules: {said}" for said, count in words.items() if count > 1),
    ]


def defined(source: str) -> list[str]:
    """What a module has besides its docstring, one line each."""
    body = ast.parse(source).body
    documented = bool(body) and ast.get_docstring(ast.Module(body, [])) is not None
    return [ast.unparse(each).partition("\n")[0] for each in body[documented:]]


def functions(path: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Each function's name, and its lines without decorators."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1


def listed(found: Iterable[str]) -> str:
    return "\n".join(found)


def _short(path: pathlib.Path) -> str:
    return path.relative_to(documents.ROOT).as_posix()


def test_both_packages_are_looked_at() -> None:
    assert len(product.modules()) > 100
    assert {
        "supervisor/fleet",
        "mirror/base",
        "admin/web/page",
        "errors",
    } <= product.modules().keys()
    assert {"supervisor", "mirror", "admin/web", *WIDE} <= product.rooms().keys()


def test_what_the_tables_lack_is_noticed() -> None:
    text = "| `a/b` | one | t |\n|---|---|\n| `a/c` | two |\n| `a/c` | one |\n`a/e` elsewhere\n"
    assert faults(text, ["a/b", "a/c", "a/d"]) == [
        "no row: a/d",
        "2 rows: a/c",
        "said of 2 modules: one",
    ]
    assert faults(text, ["a/b", "a/c"])[0] == "2 rows: a/c"
    assert faults("| `a/b` | one | t |\n| `a/c` | two | t |\n", ["a/b"]) == ["no such module: a/c"]
    assert faults("| `a/b` | one | t |\n| `d/c` | two | t |\n", ["a/b"]) == []


def test_each_module_has_a_room() -> None:
    """A row is ``| `supervisor/fleet` | what it decides | when |``."""
    found = faults(ARCHITECTURE.read_text("utf-8"), product.modules())
    assert not found, f"{len(found)} faults in docs/architecture.md:\n{listed(found)}"


def test_each_room_says_what_it_is_for() -> None:
    """And what it does not know; so two lines at the least."""
    short = [
        _short(path)
        for path in product.rooms().values()
        if len((ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").splitlines()) < 2
    ]
    assert not short, f"the docstring needs two lines or more:\n{listed(short)}"


def test_a_room_s_init_has_only_a_docstring() -> None:
    found = [
        f"{_short(path)}: {line}"
        for path in product.rooms().values()
        for line in defined(path.read_text("utf-8"))
    ]
    assert not found, f"this belongs into a module:\n{listed(found)}"


def test_what_an_init_defines_is_noticed() -> None:
    assert defined('"""Said."""\nfrom a import b\nC = 1\n') == ["from a import b", "C = 1"]
    assert defined('"""Said."""\n') == defined("") == []
    assert defined("C = 1\n") == ["C = 1"]


def test_no_file_is_too_long() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in product.files()}
    long = [f"{_short(path)}: {count}" for path, count in lines.items() if count > MOST_LINES]
    assert not long, f"over {MOST_LINES} lines:\n{listed(long)}"


def test_no_function_is_too_long() -> None:
    counted = [(path, name, count) for path in product.files() for name, count in functions(path)]
    assert len(counted) > 1000, "functions were not found: the test shows nothing"
    long = [
        f"{_short(path)}: {name}: {count}"
        for path, name, count in counted
        if count > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long, f"over {MOST_LINES_OF_A_FUNCTION} lines:\n{listed(long)}"


def test_no_room_has_too_many_modules() -> None:
    full = {
        room: len(list(path.parent.glob("[!_]*.py")))
        for room, path in product.rooms().items()
        if room not in WIDE
    }
    crowded = [f"{room}: {count}" for room, count in full.items() if count > MOST_MODULES]
    assert not crowded, f"over {MOST_MODULES} modules:\n{listed(crowded)}"
