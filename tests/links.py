"""The links in the documents that stay within the project, and whether they lead somewhere."""

from __future__ import annotations

import pathlib
import re
import urllib.parse

_LINK = re.compile(r"!?\[[^\]\[]*(?:\[[^\]]*\][^\]\[]*)*\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)")
_DEFINED = re.compile(r"^\[[^\]]+\]: (\S+)", re.MULTILINE)
_FENCED = re.compile(r"^[ \t]*(```+|~~~+).*?^[ \t]*\1[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`")


def dead(path: pathlib.Path) -> list[str]:
    """The relative links of a document whose file or heading is not there."""
    text = _FENCED.sub("", path.read_text("utf-8"))
    prose = _CODE.sub("", text)
    found = _LINK.findall(prose) + _DEFINED.findall(prose)
    return [link for link in found if not _leads(path, urllib.parse.unquote(link))]


def _leads(path: pathlib.Path, link: str) -> bool:
    if re.match(r"[a-z][a-z0-9+.-]*:", link):
        return True
    file, _, anchor = link.partition("#")
    target = path.parent / file if file else path
    if not target.exists():
        return False
    return not anchor or (target.suffix == ".md" and anchor in _anchors(target))


def _anchors(path: pathlib.Path) -> set[str]:
    """The headings as GitHub names them: the second of two equal ones ends in -1."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#{1,6} (.+)$", _FENCED.sub("", path.read_text("utf-8")), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        anchors.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return anchors
