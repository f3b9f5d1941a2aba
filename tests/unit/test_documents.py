"""No command stands in a document that is not run, or marked as needing what a test has not."""

from __future__ import annotations

import pathlib

import pytest

from tests import documents


@pytest.mark.parametrize("path", documents.documents(), ids=lambda path: path.name)
def test_each_command_is_marked(path: pathlib.Path) -> None:
    found = [fault for block in documents.blocks(path) for fault in documents.faults(block)]
    assert not found + documents.unfenced(path)


def block(mark: str, text: str = "zk2etcd status\n", language: str = "sh") -> documents.Block:
    return documents.Block(documents.ROOT / "README.md", 3, language, text, mark)


@pytest.mark.parametrize(
    ("mark", "language", "right"),
    [
        ("run: migrating", "sh", True), ("run: migrating; exits 1", "bash", True),
        ("needs: docker", "sh", True), ("needs: systemd; the mirror stops", "console", True),
        ("tested by: tests/unit/test_documents.py", "sh", True),
        ("", "sh", False), ("needs: luck", "sh", False), ("run: ", "sh", False),
        ("tested by: tests/absent.py", "sh", False), ("", "", False), ("", "text", False),
    ],
)  # fmt: skip
def test_marks(mark: str, language: str, right: bool) -> None:
    assert (not documents.faults(block(mark, language=language))) is right


def test_what_a_mark_says() -> None:
    assert (block("run: a; exits 3").scene, block("run: a; exits 3").exit_code) == ("a", 3)
    assert (block("needs: docker").scene, block("run: a").exit_code) == (None, 0)
    assert not documents.faults(block("", "a: 1\n", "yaml"))


def test_blocks_are_found_also_in_lists(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.md"
    path.write_text(
        "1. So:\n\n   <!-- run: a -->\n   ```sh\n   one\n     two\n   ```\n\n~~~\n```\n~~~\n",
        "utf-8",
    )
    first, second = documents.blocks(path)
    assert (first.line, first.mark, first.text) == (4, "run: a", "one\n  two\n")
    assert (second.language, second.text) == ("", "```\n")
