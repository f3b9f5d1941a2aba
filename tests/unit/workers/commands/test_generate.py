"""The shapes of test data; writing them is tried on a real ZooKeeper."""

from __future__ import annotations

import itertools

from zk2etcd_workers.commands import generate


def test_plain_has_parents_before_children() -> None:
    items = list(generate.plain("/a/b", 2, 3, 10))
    assert [item.path for item in items[:4]] == [
        "/a",
        "/a/b",
        "/a/b/parent-000000",
        "/a/b/parent-000000/child-000000",
    ]
    assert len(items) == 2 + 2 * (1 + 3)
    assert {len(item.value) for item in items if "child" in item.path} == {10}
    assert len({item.value for item in items if "child" in item.path}) == 6


def test_how_many_nodes_there_will_be_is_known() -> None:
    for path in ("/", "/a", "/a/b"):
        assert generate.size(path, 4, 3) == len(list(generate.plain(path, 4, 3, 1)))
        assert generate.size(path, 4, 3, 4) == len(list(generate.dubbo(path, 4, 3, 1)))


def test_only_children_become_ephemeral() -> None:
    for shaped in (generate.plain, generate.dubbo):
        items = list(shaped("/x", 2, 3, 0, True))
        parents = {item.path.rpartition("/")[0] for item in items}
        assert sum(item.ephemeral for item in items) == 6
        assert not any(item.ephemeral for item in items if item.path in parents)


def test_dubbo_looks_like_a_registry() -> None:
    items = list(generate.dubbo("/dubbo", 4, 15))
    assert len(items) == 1 + 4 * (5 + 15)
    leaves = [item.path for item in items if "%3A%2F%2F" in item.path]
    assert len(leaves) == len(set(leaves)) == 4 * 15
    assert 180 < sum(map(len, leaves)) / len(leaves) < 260
    assert sum("/providers/" in leaf for leaf in leaves) == 40


def test_every_parent_comes_first() -> None:
    seen = {"/"}
    for item in generate.dubbo("/deep/er", 3, 4):
        assert (item.path.rpartition("/")[0] or "/") in seen
        seen.add(item.path)


def test_filled_has_the_size_asked_for() -> None:
    assert generate.filled("abc", 2) == b"ab"
    assert generate.filled("abc", 5) == b"abc.."
    assert generate.filled("abc", 0) == b""


def test_a_tree_is_made_as_it_is_taken() -> None:
    assert len(list(itertools.islice(generate.dubbo("/d", 10**12, 15), 137))) == 137


def test_the_root_as_path() -> None:
    assert next(iter(generate.plain("/", 1, 0, 0))).path == "/parent-000000"
