"""Wildcards in paths, against a slow reading of what they mean, element by element."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, strategies

from zk2etcd import patterns

NAMES = strategies.text("ab*\\.\n", min_size=1, max_size=3)
PATHS = strategies.lists(NAMES, max_size=5).map(lambda names: "/" + "/".join(names))
ELEMENTS = NAMES.map(lambda name: re.sub(r"\*+", "*", name)) | strategies.sampled_from(["*", "**"])
PATTERNS = strategies.lists(ELEMENTS, max_size=4).map(lambda parts: "/" + "/".join(parts))


def _fits(element: str, name: str) -> bool:
    """By trying each length of each wildcard."""
    if not element:
        return not name
    if element.startswith("\\*"):
        return name.startswith("*") and _fits(element[2:], name[1:])
    if element[0] == "*":
        return any(_fits(element[1:], name[at:]) for at in range(len(name) + 1))
    return name.startswith(element[0]) and _fits(element[1:], name[1:])


def _matches(elements: list[str], names: list[str]) -> bool:
    """The whole path, no more and no less."""
    if not elements:
        return not names
    if elements == ["**"]:
        return bool(names)
    if elements[0] == "**":
        return any(_matches(elements[1:], names[at:]) for at in range(len(names) + 1))
    return bool(names) and _fits(elements[0], names[0]) and _matches(elements[1:], names[1:])


def _split(path: str) -> list[str]:
    return [] if path == "/" else path[1:].split("/")


def _expected(pattern: str, path: str) -> bool:
    names = _split(path)
    return any(_matches(_split(pattern), names[:length]) for length in range(len(names) + 1))


@given(PATTERNS, PATHS)
def test_a_path_matches_by_its_elements(pattern: str, path: str) -> None:
    assert patterns.Matcher([pattern])(path.encode()) == _expected(pattern, path)


@given(PATTERNS, PATHS, NAMES)
def test_a_child_matches_only_where_one_may(pattern: str, parent: str, name: str) -> None:
    matcher = patterns.Matcher([pattern])
    child = f"{parent.rstrip('/')}/{name}"
    if matcher(child.encode()) and not matcher(parent.encode()):
        assert matcher.may_match_below(parent.encode())


@given(PATTERNS, PATHS, PATHS)
def test_what_leads_to_a_match_is_known(pattern: str, above: str, below: str) -> None:
    """A walk passes over what neither matches nor leads to a match: nothing may be lost by that."""
    matcher = patterns.Matcher([pattern])
    path = above.rstrip("/") + below
    if _expected(pattern, path) and not _expected(pattern, above):
        assert matcher.leads(above.encode())
        assert patterns.concerns(pattern, above)


@given(PATHS, PATHS)
def test_an_escaped_path_is_just_that(path: str, other: str) -> None:
    text = patterns.escaped(path)
    assert patterns.is_concrete(text)
    assert patterns.starts(text) == path == patterns.concrete(text)
    below = path in (other, "/") or other.startswith(path + "/")
    assert patterns.Matcher([text])(other.encode()) == below


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (
            "/dubbo/*/consumers",
            ["/dubbo/a/consumers", "/dubbo/a/consumers/x"],
            ["/dubbo/consumers"],
        ),
        ("/a/**", ["/a/b", "/a/b/c"], ["/a", "/ab"]),
        ("/**/tmp", ["/tmp", "/a/b/tmp/c"], ["/a/tmp2"]),
        ("/a/**/z", ["/a/z", "/a/b/z", "/a/b/c/z"], ["/a", "/z"]),
        ("/v*.bak", ["/v.bak", "/v1.bak/x"], ["/v1.bakk", "/a/v1.bak"]),
        (r"/a\*", ["/a*", "/a*/b"], ["/ab", r"/a\x"]),
        ("/*", ["/a", "/a/b"], ["/"]),
    ],
)
def test_examples(pattern: str, matching: list[str], others: list[str]) -> None:
    matcher = patterns.Matcher([pattern])
    assert [path for path in matching if not matcher(path.encode())] == []
    assert [path for path in others if matcher(path.encode())] == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a/*.*.*.*Service", "/a/" + "." * 20_000),
        ("/a/*a*a*a*b/x", "/a/" + "a" * 20_000 + "/x"),
        ("/**/b/**/b/**/c", "/b" * 2_000),
        ("/**/*a*a*/**/*a*a*/x", "/aaaaaaaaaaaaaaaaaaaa" * 500),
    ],
)
def test_a_long_path_takes_no_longer_than_its_length(pattern: str, path: str) -> None:
    """Whoever may make a node could else hold a worker up for ever, by its name."""
    matcher = patterns.Matcher([pattern])
    assert not matcher(path.encode())
    matcher.leads(path.encode())


def test_none_match_nothing() -> None:
    assert not patterns.Matcher([])(b"/")
    assert not patterns.Matcher([]).leads(b"/")


@pytest.mark.parametrize("text", ["/a/b**", "/**b", "/a***", "/***"])
def test_two_stars_are_a_whole_element(text: str) -> None:
    with pytest.raises(ValueError, match="stands for whole elements"):
        patterns.check(text)


@pytest.mark.parametrize(
    ("text", "start"), [("/*", "/"), ("/a/*/c", "/a"), ("/a/b*", "/a"), ("/a/b", "/a/b")]
)
def test_where_all_that_matches_lies(text: str, start: str) -> None:
    assert patterns.starts(text) == start
