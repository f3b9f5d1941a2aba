"""What documents name in code is there: files and tests."""

from __future__ import annotations

import functools
import pathlib
import re

import pytest

from tests import documents

_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"(?:tests|docs|examples|config|scripts|benchmarks|manual)/[\w./-]+")


def code(path: pathlib.Path) -> list[str]:
    return _CODE.findall(path.read_text("utf-8"))


@functools.cache
def every_test() -> frozenset[str]:
    files = list((documents.ROOT / "tests").rglob("test_*.py"))
    names = (re.findall(r"def (test_\w+)", path.read_text("utf-8")) for path in files)
    return frozenset(name for found in names for name in found) | {path.stem for path in files}


def missing(words: list[str]) -> list[str]:
    """The files and tests among these words that there are not."""
    files = [word for word in words if _FILE.fullmatch(word)]
    tests = [word for word in words if re.fullmatch(r"test_\w+", word)]
    # `config/models` is a module, and so as docs/architecture.md names it.
    found = (documents.ROOT.joinpath, lambda file: documents.ROOT / "zk2etcd" / f"{file}.py")
    lost = [file for file in files if not any(place(file).exists() for place in found)]
    return lost + [test for test in tests if test not in every_test()]


@pytest.mark.parametrize("path", documents.documents(), ids=documents.name)
def test_what_is_named_is_there(path: pathlib.Path) -> None:
    assert not missing(code(path))


def test_what_is_not_there_is_noticed() -> None:
    assert missing(["tests/absent.py", "test_absent_one", "docs/README.md", "test_named"]) == [
        "tests/absent.py",
        "test_absent_one",
    ]
