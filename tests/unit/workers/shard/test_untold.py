"""A repair that no event had told of is told from a stranger's doing."""

from __future__ import annotations

import pytest

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import tree
from zk2etcd_workers.shard import dirty_paths, untold

GONE = tree.Miss.NO_NODE


def node(mzxid: int) -> tree.Node:
    return tree.Node(b"/a/x", b"v", 1, mzxid, 0, 0, 0, 0)


def key(revision: int) -> wire.Present:
    return wire.Present(b"/a/x", b"old", revision)


@pytest.fixture
def heard() -> dirty_paths.Heard:
    return dirty_paths.Heard()


@pytest.fixture
def judge(heard: dirty_paths.Heard) -> untold.Untold:
    """After a base at zxid 100 and etcd's revision 50, in the first full sync."""
    made = untold.Untold(heard, 100)
    made.etcd_at(50)
    made.etcd_at(60)
    made.begins(70, frozenset())
    return made


def test_a_change_since_the_last_comparison_without_an_event_was_missed(
    judge: untold.Untold,
) -> None:
    assert judge.is_untold(b"/a/x", node(101), key(40))
    assert judge.is_untold(b"/a/x", node(101), None)
    assert judge.is_untold(b"/a/x", GONE, key(50))


def test_what_changed_before_that_is_a_strangers_doing(judge: untold.Untold) -> None:
    assert not judge.is_untold(b"/a/x", node(100), key(40))
    assert not judge.is_untold(b"/a/x", node(100), None)
    assert not judge.is_untold(b"/a/x", GONE, key(51))
    assert not judge.is_untold(b"/a/x", GONE, None)


def test_what_an_event_told_of_was_not_missed(
    heard: dirty_paths.Heard, judge: untold.Untold
) -> None:
    heard.add(b"/a/x")
    assert not judge.is_untold(b"/a/x", node(101), key(40))
    assert not judge.is_untold(b"/a/x", GONE, key(40))
    assert judge.is_untold(b"/a/y", node(101), None)


def test_the_next_comparison_counts_from_this_one(
    heard: dirty_paths.Heard, judge: untold.Untold
) -> None:
    heard.add(b"/a/x")
    judge.synced(200)
    judge.synced(300)
    judge.begins(90, frozenset())
    assert not judge.is_untold(b"/a/y", node(200), None)
    assert judge.is_untold(b"/a/y", node(201), None)
    assert not judge.is_untold(b"/a/x", node(201), None)  # heard since the last one began
    assert judge.is_untold(b"/a/y", GONE, key(70))
    assert not judge.is_untold(b"/a/y", GONE, key(71))
    judge.begins(95, frozenset())
    assert not judge.is_untold(b"/a/y", node(400), None)  # no `sync` since the last one began


@pytest.mark.parametrize(
    "dark", [frozenset({b"/a"}), frozenset({b"/a/x"}), frozenset({b"/"}), None]
)
def test_what_could_not_be_read_was_not_told_by_right(
    judge: untold.Untold, dark: frozenset[bytes] | None
) -> None:
    judge.synced(200)
    judge.begins(90, dark)
    assert not judge.is_untold(b"/a/x", node(300), None)
    if dark:
        assert judge.is_untold(b"/b/x", node(300), None) is (b"/" not in dark)


def test_a_path_that_was_heard_is_known_until_the_comparison_after_next(
    heard: dirty_paths.Heard,
) -> None:
    paths = [b"/a/%d" % number for number in range(1000)]
    for path in paths:
        heard.add(path)
    assert all(path in heard for path in paths)
    assert sum(b"/b/%d" % number in heard for number in range(1000)) < 20
    heard.turn()
    assert all(path in heard for path in paths)
    heard.turn()
    assert not any(path in heard for path in paths)


def test_what_a_comparison_has_read_counts_for_nothing_until_it_has_ended(
    heard: dirty_paths.Heard,
) -> None:
    made = untold.Untold(heard, 100)
    said = [made.compares]
    for missed in (0, 1):
        made.begins(70, frozenset())
        said.append(made.compares)
        made.ends(missed)
        said.append(made.compares)
    # What missed something may miss more.
    assert said == [False, True, False, True, True]
    assert untold.Untold(heard, 100, compares=True).compares
