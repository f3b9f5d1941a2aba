"""The Chinese README says what the English one says, so that neither goes stale unnoticed.

Words cannot be compared, but what an operator copies or relies on can: commands, code, links and
figures, section by section and row by row.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator

import pytest

from tests import documents

ENGLISH = documents.ROOT / "README.md"
CHINESE = documents.ROOT / "README.zh-CN.md"

_CODE = re.compile(r"`[^`\n]+`")
_LINK = re.compile(r"\]\(([^)]+)\)")
_FIGURE = re.compile(r"(?<![A-Za-z0-9_.])\d+(?:[,.]\d+)*(?![A-Za-z0-9_])")


def sections(text: str) -> list[str]:
    """The prose of each section; fenced blocks are compared as a whole elsewhere."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.split(r"^## ", prose, flags=re.MULTILINE)


def pairs() -> Iterator[tuple[str, str]]:
    ours, theirs = (sections(path.read_text("utf-8")) for path in (ENGLISH, CHINESE))
    assert len(ours) == len(theirs)
    yield from zip(ours, theirs, strict=True)


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def figures(text: str) -> collections.Counter[str]:
    return collections.Counter(_FIGURE.findall(_LINK.sub("]", text)))


def code(text: str) -> collections.Counter[str]:
    return collections.Counter(_CODE.findall(text))


def test_the_blocks_are_the_same_in_the_same_order() -> None:
    ours, theirs = (
        [(block.language, block.mark, block.text) for block in documents.blocks(path)]
        for path in (ENGLISH, CHINESE)
    )
    assert ours == theirs


@pytest.mark.parametrize("what", [code, figures])
def test_code_and_figures_are_the_same_section_by_section(
    what: type[collections.Counter[str]],
) -> None:
    for ours, theirs in pairs():
        assert what(ours) == what(theirs), theirs.partition("\n")[0]


def test_the_tables_have_the_same_rows() -> None:
    for ours, theirs in pairs():
        assert len(rows(ours)) == len(rows(theirs)), theirs.partition("\n")[0]
        for one, other in zip(rows(ours), rows(theirs), strict=True):
            assert one.count("|") == other.count("|")
            assert (code(one), figures(one)) == (code(other), figures(other)), other


def test_the_links_are_the_same_but_for_each_other() -> None:
    ours, theirs = (set(_LINK.findall(path.read_text("utf-8"))) for path in (ENGLISH, CHINESE))
    assert ours - theirs == {"README.zh-CN.md"}
    assert theirs - ours == {"README.md"}


def test_a_stale_figure_or_command_is_noticed() -> None:
    assert figures("1.27 x, 100,000 nodes, 3 s") != figures("1.27 x, 100,000 nodes, 4 s")
    assert figures("从 16.6 s 到 26.4 s") == figures("16.6 s to 26.4 s")
    assert code("`zk2etcd diff` and `zk2etcd log`") != code("`zk2etcd diff`")
