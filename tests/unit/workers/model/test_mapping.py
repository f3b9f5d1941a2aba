from __future__ import annotations

import pytest
from hypothesis import example, given, strategies as st

from tests.unit.workers import drawn
from zk2etcd import patterns
from zk2etcd.config import addresses
from zk2etcd_workers.model import mapping


@given(drawn.ROOTS, drawn.ROOTS, drawn.BELOW)
@example([], ["x"], [])
@example(["x"], [], [])
@example([], [], ["a"])
def test_a_path_and_its_key_round_trip(
    source: list[str], target: list[str], below: list[str]
) -> None:
    shard = mapping.Mapping(drawn.path(source), drawn.path(target))
    path = drawn.path(source, below).encode()
    key = shard.key(path)
    assert key == drawn.path(target, below).encode()
    assert shard.path(key) == path
    start, end = shard.below()
    assert key == shard.target or start <= key < end


@given(drawn.ROOTS, drawn.ROOTS, st.binary(max_size=12))
def test_any_key_is_foreign_or_round_trips(
    source: list[str], target: list[str], rest: bytes
) -> None:
    shard = mapping.Mapping(drawn.path(source), drawn.path(target))
    for key in (
        rest,
        drawn.path(target).encode() + rest,
        drawn.path(target).encode() + b"/" + rest,
    ):
        path = shard.path(key)
        if path is not None:
            assert shard.key(path) == key
            assert mapping.is_valid_path(path)
            assert mapping.is_below(path, shard.source)


@given(drawn.ROOTS, drawn.ROOTS, st.lists(drawn.BELOW, min_size=2, max_size=8))
def test_keys_sort_like_paths(
    source: list[str], target: list[str], several: list[list[str]]
) -> None:
    shard = mapping.Mapping(drawn.path(source), drawn.path(target))
    paths = sorted(drawn.path(source, below).encode() for below in several)
    keys = [shard.key(path) for path in paths]
    assert keys == sorted(keys)


@given(drawn.ROOTS, drawn.BELOW, drawn.BELOW)
def test_the_range_below_a_path_is_what_lies_below_it(
    target: list[str], path: list[str], other: list[str]
) -> None:
    shard = mapping.Mapping("/", drawn.path(target))
    upper, lower = drawn.path(path).encode(), drawn.path(other).encode()
    start, end = shard.below_path(upper)
    inside = start <= shard.key(lower) < end
    assert inside == (mapping.is_below(lower, upper) and (lower != upper or not path + target))


@given(drawn.BELOW, drawn.BELOW)
@example(["*"], ["0"])
def test_excludes_are_by_path_element(excluded: list[str], path: list[str]) -> None:
    """Of a path; what wildcards match, `test_patterns.py` shows."""
    named = patterns.escaped(drawn.path(["s"], excluded))
    shard = mapping.Mapping("/s", "/t", [named] if excluded else [])
    expected = bool(excluded) and path[: len(excluded)] == excluded
    assert shard.is_excluded(drawn.path(["s"], path).encode()) == expected


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/dubbo", "/dubbo", True),
        ("/dubbo/a", "/dubbo", True),
        ("/dubbo2", "/dubbo", False),
        ("/dubbo-a", "/dubbo", False),
        ("/dubb", "/dubbo", False),
        ("/anything", "/", True),
        ("/", "/", True),
        ("/", "/a", False),
    ],
)
def test_below(path: str, root: str, below: bool) -> None:
    assert mapping.is_below(path.encode(), root.encode()) is below


@pytest.mark.parametrize(
    "path",
    [
        b"",
        b"a",
        b"//",
        b"/a/",
        b"/a//b",
        b"/a/./b",
        b"/..",
        b"/a/..",
        b"/\0",
        b"/\x01",
        b"/\x1e",
        "/\x80".encode(),
        "/\x9e".encode(),
        "/\ue000".encode(),
        "/\uf8fe".encode(),
        "/\ufff1".encode(),
        "/\ufffe".encode(),
        "/\U00010000".encode(),
        "/\U0001f600".encode(),
        "/\U0010ffff".encode(),
        b"/\xff",
        b"/\xc0\xaf",
        b"/\xed\xa0\x80",
    ],
)
def test_what_zookeeper_refuses_is_no_path(path: bytes) -> None:
    assert not mapping.is_valid_path(path)


@pytest.mark.parametrize("name", [" ", "...", ".a", "a.", "\xa0", "\uf900", "\uffef", "%2F", "\\"])
def test_what_zookeeper_accepts_is_a_path(name: str) -> None:
    assert mapping.is_valid_path(f"/{name}".encode())


@pytest.mark.parametrize("name", ["\x1f", "\x7f", "\x9f", "\uf8ff", "\ufff0", "\uffff"])
def test_what_only_3_4_accepts_is_a_path_too(name: str) -> None:
    assert addresses.path(f"/{name}") == f"/{name}"
    assert mapping.is_valid_path(f"/{name}".encode())


@pytest.mark.parametrize(("source", "excluded"), [("/", True), ("/zookeeper2", False)])
def test_zookeepers_own_subtree_is_never_mirrored(source: str, excluded: bool) -> None:
    shard = mapping.Mapping(source, "/t")
    assert shard.is_excluded(b"/zookeeper") is excluded
    assert shard.is_excluded(b"/zookeeper/quota") is excluded
    assert not shard.is_excluded(b"/zookeeper2")


def test_ranges_of_the_root() -> None:
    assert mapping.Mapping("/a", "/").below() == (b"/", b"0")
    assert mapping.Mapping("/a", "/").below_path(b"/a") == (b"/", b"0")
    assert mapping.Mapping("/", "/x").below() == (b"/x/", b"/x0")


@given(
    drawn.ROOTS,
    drawn.ROOTS,
    st.lists(st.one_of(st.text("ab/.\n\x1f\x7f\u00e9", max_size=8), st.text(max_size=4))),
    st.sampled_from([(), ("a",), ("..", "b")]),
)
@example(["x"], ["x"], ["/a", "/b/c", ""], ())
@example(["x"], ["y"], ["/a", "/b/.c", "/.", "/..", "/", "//", "/a/", "/a\n/b"], ())
def test_many_keys_are_told_apart_as_each_is(
    source: list[str], target: list[str], below: list[str], excluded: tuple[str, ...]
) -> None:
    from_ = drawn.path(source)
    named = patterns.escaped(drawn.path(source, list(excluded)))
    shard = mapping.Mapping(from_, drawn.path(target), [named])
    if not excluded:
        shard = mapping.Mapping(from_, drawn.path(target))
    start, end = shard.below()
    keys = [shard.target + text.encode("utf-8", "ignore") for text in below]
    keys = [key for key in keys if key == shard.target or start <= key < end]
    assert shard.paths(keys) == [shard.path(key) for key in keys if shard.is_image(key)]
    single = [path for key in keys for path in shard.paths([key])]
    assert single == shard.paths(keys)


def test_very_many_keys_keep_their_order() -> None:
    shard = mapping.Mapping("/s", "/t")
    names = [
        b"/n%d" % number if number % 700 else b"//foreign%d" % number for number in range(3000)
    ]
    found = shard.paths([b"/t" + name for name in names])
    assert found == [b"/s" + name for name in names if not name.startswith(b"//")]
