"""What events and listings say, where nothing tells of a new node but its parent's listing."""

from __future__ import annotations

import time

from zk2etcd_workers.zookeeper.classic import hashes, watches

CREATED, DELETED, CHILDREN, CHANGED = watches.CREATED, watches.DELETED, watches.CHILDREN_CHANGED, 3


class _Told:
    def __init__(self) -> None:
        self.events: list[tuple[int, bytes]] = []
        self.on = watches.Watches()

    def list(self, path: bytes, *names: bytes, again: bool = False) -> list[tuple[int, bytes]]:
        self.events = []
        self.on.listed(
            path, names, lambda kind, child: self.events.append((kind, child)), again=again
        )
        return self.events


def _gathered(*paths: bytes) -> hashes.Gathered:
    made = hashes.Gathered()
    made.add(paths)
    return made


def test_a_new_child_is_told_of_once() -> None:
    told = _Told()
    told.on.allow([b"/p/a"])
    assert told.list(b"/p", b"a", b"b") == []
    told.on.fired(CHILDREN, b"/p")
    assert told.list(b"/p", b"a", b"b", b"c") == [(CREATED, b"/p/b"), (CREATED, b"/p/c")]
    told.on.fired(CHILDREN, b"/p")
    assert told.list(b"/p", b"a", b"b", b"c", b"d") == [(CREATED, b"/p/d")]
    told.on.fired(DELETED, b"/p/b")
    assert told.list(b"/p", b"a", b"b", again=True) == [(CREATED, b"/p/b")]
    assert told.list(b"/", b"p", again=True) == [(CREATED, b"/p")]


def test_what_was_told_of_and_perhaps_never_read_is_new_to_who_begins_anew() -> None:
    told = _Told()
    told.on.allow([b"/p/read"])
    assert told.list(b"/p", b"read", b"told", again=True) == [(CREATED, b"/p/told")]
    told.on.begins()
    assert told.list(b"/p", b"read", b"told", again=True) == [(CREATED, b"/p/told")]
    told.on.allow([b"/p/told"])
    assert told.list(b"/p", b"read", b"told", again=True) == []


def test_what_has_changed_is_new_until_it_is_read_again() -> None:
    """Its watch is used up: nothing would tell of its end."""
    told = _Told()
    told.on.allow([b"/p/a", b"/p/b"])
    told.on.fired(CHANGED, b"/p/a")
    assert told.list(b"/p", b"a", b"b", again=True) == [(CREATED, b"/p/a")]


def test_what_may_not_be_read_ends_with_the_listing() -> None:
    told = _Told()
    told.on.deny(b"/p/dark")
    told.on.fired(CHILDREN, b"/p")
    assert told.list(b"/p") == [(DELETED, b"/p/dark")]


def test_a_leaf_is_armed_once_until_its_watch_is_used_up() -> None:
    told = _Told()
    assert told.on.arm([b"/leaf"])
    assert told.on.is_armed(b"/leaf")
    assert not told.on.arm([b"/leaf"])
    told.on.fired(CHILDREN, b"/leaf")
    assert not told.on.is_armed(b"/leaf")
    assert told.on.arm([b"/leaf"])
    told.list(b"/leaf")
    assert not told.on.arm([b"/leaf"])
    told.on.fired(DELETED, b"/leaf")
    assert told.on.arm([b"/leaf"])


def test_of_many_leaves_those_are_armed_that_are_not() -> None:
    told = _Told()
    assert told.on.arm([b"/a", b"/b", b"/a"]) == [b"/a", b"/b"]
    assert told.on.arm([b"/a", b"/c"]) == [b"/c"]
    told.on.fired(CHILDREN, b"/b")
    assert told.on.arm([b"/a", b"/b", b"/d"]) == [b"/b", b"/d"]


def test_what_may_be_read_again_is_known_and_denied_no_more() -> None:
    told = _Told()
    told.on.deny(b"/p/dark")
    told.on.deny(b"/p/darker")
    told.on.allow([b"/p/dark", b"/q/light"])
    told.on.fired(CHILDREN, b"/p")
    assert told.list(b"/p") == [(DELETED, b"/p/darker")]


def test_a_long_listing_waits() -> None:
    told = _Told()
    told.list(b"/p", *(b"%d" % number for number in range(1001)))
    later = time.monotonic() + 60
    assert told.on.may_list(b"/q")
    assert not told.on.may_list(b"/p")
    assert not told.on.may_list(b"/p")
    assert told.on.due(later) == [b"/p"]
    assert told.on.due(later) == []
    told.list(b"/p", b"1")
    assert told.on.may_list(b"/p")


def test_looking_through_listings_is_a_tenth_of_our_time_at_most() -> None:
    told = _Told()
    names = [b"%d" % number for number in range(5_000)]
    started = time.monotonic()
    told.list(b"/p", *names, again=True)
    ended = time.monotonic()
    rests_until = told.on._rests_until
    assert started < rests_until <= ended + 9 * (ended - started)
    assert not told.on.may_list(b"/p")
    assert told.on.due(rests_until - 1e-6) == []
    assert told.on.due(rests_until) == [b"/p"]


def _is_listing(told: _Told, root: bytes) -> bool:
    found = told.on.lists(root)
    return found.told < found.changes


def test_what_is_being_listed_is_not_told_of_yet() -> None:
    told = _Told()
    told.on.fired(CHILDREN, b"/p/q")
    assert _is_listing(told, b"/p")
    assert _is_listing(told, b"/p/q")
    assert _is_listing(told, b"/")
    assert not _is_listing(told, b"/pp")
    assert not _is_listing(told, b"/p/q/r")
    seen: list[bool] = []
    told.on.listed(b"/p/q", [b"new"], lambda *_: seen.append(_is_listing(told, b"/p")), again=False)
    assert seen == [True]
    assert not _is_listing(told, b"/p")


def test_a_change_is_told_of_though_others_came_after_it() -> None:
    told = _Told()
    told.on.fired(CHILDREN, b"/p/q")
    first = told.on.lists(b"/p").changes
    told.on.fired(CHILDREN, b"/p/r")
    assert told.on.lists(b"/p").told < first
    told.list(b"/p/q")
    told.on.fired(CHILDREN, b"/p/q")
    found = told.on.lists(b"/p")
    assert first <= found.told < found.changes


def test_while_a_tree_is_named_nothing_of_it_is_listed() -> None:
    told = _Told()
    told.on.hold(b"/p")
    told.on.fired(CHILDREN, b"/p")
    assert not told.on.may_list(b"/p")
    assert told.on.may_list(b"/pp")
    assert told.on.due(time.monotonic()) == []
    told.on.fired(DELETED, b"/p/gone")
    told.on.knows(b"/p", _gathered(b"/p", b"/p/a", b"/p/b", b"/p/gone"))
    told.on.fired(DELETED, b"/p/b")
    assert told.on.let_go(b"/p") == [b"/p"]
    assert _is_listing(told, b"/p")
    names = [b"a", b"b", b"gone", b"new"]
    assert told.list(b"/p", *names, again=True) == [
        (CREATED, b"/p/b"),
        (CREATED, b"/p/gone"),
        (CREATED, b"/p/new"),
    ]
    assert told.on.is_armed(b"/p/a")
    assert not told.on.is_armed(b"/p/b")
    assert not told.on.is_armed(b"/p/gone")
    assert told.on.may_list(b"/p")


def test_two_trees_are_named_at_once() -> None:
    told = _Told()
    told.on.hold(b"/p")
    told.on.hold(b"/q")
    for path in (b"/p", b"/q/a"):
        told.on.fired(CHILDREN, path)
        assert not told.on.may_list(path)
    told.on.knows(b"/p", _gathered(b"/p"))
    assert told.on.let_go(b"/p") == [b"/p"]
    assert not told.on.may_list(b"/q/a")
    assert told.on.let_go(b"/q") == [b"/q/a"]


def test_what_was_not_named_is_new_whoever_has_read_it() -> None:
    """A read that was meant for the connection before may come over this one."""
    told = _Told()
    told.on.allow([b"/p/stray"])
    told.on.allow([b"/q/known"])
    told.on.hold(b"/p")
    told.on.fired(CHILDREN, b"/p")
    assert not told.on.may_list(b"/p")
    told.on.knows(b"/p", _gathered(b"/p", b"/p/a"))
    assert told.on.let_go(b"/p") == [b"/p"]
    assert told.list(b"/p", b"a", b"stray", again=True) == [(CREATED, b"/p/stray")]
    assert told.list(b"/q", b"known", again=True) == []
    told.on.told(b"/p")
    assert told.list(b"/p", b"a", b"stray", again=True) == []


def test_what_was_named_and_came_again_is_new() -> None:
    told = _Told()
    told.on.hold(b"/p")
    told.on.fired(DELETED, b"/p/a")
    told.on.knows(b"/p", _gathered(b"/p", b"/p/a", b"/p/b"))
    told.on.fired(DELETED, b"/p/b")
    told.on.let_go(b"/p")
    assert told.list(b"/p", b"a", b"b", again=True) == [(CREATED, b"/p/a"), (CREATED, b"/p/b")]


def test_a_question_that_breaks_off_leaves_nothing_waiting() -> None:
    told = _Told()
    told.on.hold(b"/p")
    told.on.fired(CHILDREN, b"/p")
    assert not told.on.may_list(b"/p")
    told.on.told(b"/p")
    assert _is_listing(told, b"/p")
    assert told.on.due(time.monotonic()) == [b"/p"]
    assert told.list(b"/p", b"a", again=True) == [(CREATED, b"/p/a")]
