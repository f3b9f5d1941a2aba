"""When a count of children says that what etcd has of a folder is all."""

from __future__ import annotations

import pytest

from zk2etcd_workers.model import tree
from zk2etcd_workers.walk import directories
from zk2etcd_workers.walk.predicted import window

BEFORE, AFTER = 50, 60
OLD, YOUNG = 7, 55
"""czxids: of what was there before all was read, and of what may have come meanwhile."""

FOLDER, LATER = b"/f", b"/g"


def _node(path: bytes, czxid: int = OLD, children: int = 0) -> tree.Node:
    return tree.Node(path, b"v", czxid, czxid, 1, 0, children)


def _taken(
    *results: tuple[bytes, tree.Node | tree.Miss], zxids: tuple[int, int] = (BEFORE, AFTER)
) -> window.Stretch:
    paths = [path for path, _ in results]
    asked = window.Window(paths)
    ops = [(4, path) for path in paths]
    found = directories.Columns(ops, [result for _, result in results])
    asked.saw(0, window.Part(zxids, found, 0, len(paths)))
    assert asked.is_read
    stretch = asked.take()
    assert (stretch.read, stretch.last) == (len(paths), paths[-1])
    return stretch


def _children(*czxids: int) -> list[tuple[bytes, tree.Node | tree.Miss]]:
    paths = [b"/f/%d" % at for at in range(len(czxids))]
    return [(path, _node(path, czxid)) for path, czxid in zip(paths, czxids, strict=True)]


END = (LATER, _node(LATER))


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_a_count_that_is_that_of_the_children_is_believed(count: int) -> None:
    stretch = _taken((FOLDER, _node(FOLDER, children=count)), *_children(OLD, OLD), END)
    assert list(stretch.doubtful()) == ([] if count in (0, 2) else [(FOLDER, count)])


def test_a_child_that_is_gone_does_not_count() -> None:
    gone = (b"/f/x", tree.Miss.NO_NODE)
    stretch = _taken((FOLDER, _node(FOLDER, children=2)), *_children(OLD), gone, END)
    assert list(stretch.doubtful()) == [(FOLDER, 2)]
    assert b"/f/x" not in stretch.paths


def test_one_that_came_while_it_was_read_may_hide_another() -> None:
    """Its parent may have been counted before, when a third one was there that etcd lacks."""
    results = (FOLDER, _node(FOLDER, children=2)), *_children(OLD, YOUNG), END
    assert list(_taken(*results).doubtful()) == [(FOLDER, 2)]
    assert not list(_taken(*results, zxids=(AFTER, AFTER)).doubtful())


def test_so_may_one_that_cannot_be_read() -> None:
    denied = (b"/f/x", tree.Miss.NO_AUTH)
    results = (FOLDER, _node(FOLDER, children=2)), *_children(OLD), denied, END
    assert list(_taken(*results).doubtful()) == [(FOLDER, 2)]
    still = _taken(*results, zxids=(AFTER, AFTER))
    assert not list(still.doubtful())
    assert (still.values[2], still.told[2]) == (None, None)


def test_what_goes_on_behind_it_is_doubtful() -> None:
    stretch = _taken((FOLDER, _node(FOLDER, children=2)), *_children(OLD, OLD))
    assert list(stretch.doubtful()) == [(FOLDER, 2)]


def test_a_part_is_taken_once_and_only_in_order() -> None:
    paths = [b"/f/%d" % at for at in range(4)]
    asked = window.Window(paths)
    found = directories.Columns([(4, path) for path in paths], [_node(path) for path in paths])
    asked.saw(2, window.Part((1, 1), found, 2, 4))
    assert (asked.has_some, asked.is_read) == (False, False)
    assert not asked.take().paths
    asked.saw(0, window.Part((1, 1), found, 0, 2))
    assert (asked.has_some, asked.is_read) == (True, True)
    assert asked.take().paths == paths
    assert (asked.has_some, asked.is_read) == (False, True)


def test_names_are_looked_at_once_and_up_to_the_last_path() -> None:
    directory = directories.Dir(b"/f", 4)
    directory.names = [b"a", b"a-b", b"b", b"c"]
    opened = window.Open(directory)
    assert opened.lacks({b"/f/a"}, b"/e/z") == []
    assert opened.lacks({b"/f/a"}, b"/f/a/x") == [b"/f/a-b"]
    assert not opened.is_passed(b"/f/a/x")
    assert opened.lacks(set(), b"/f/b") == [b"/f/b"]
    assert opened.lacks(set(), b"/g") == [b"/f/c"]
    assert opened.is_passed(b"/g")
    assert opened.lacks(set(), None) == []


def test_what_is_below_another_is_left_out() -> None:
    paths = {b"/a", b"/a/b/c", b"/a-b", b"/b/c"}
    assert window.uppermost(paths) == [b"/a", b"/a-b", b"/b/c"]
