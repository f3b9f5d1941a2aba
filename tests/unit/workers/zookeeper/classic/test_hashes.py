from __future__ import annotations

import sys

from hypothesis import given, strategies as st

from zk2etcd_workers.zookeeper.classic import hashes

_PATHS = st.binary(max_size=3)
_STEPS = st.lists(st.tuples(st.booleans(), _PATHS))


@given(_STEPS)
def test_it_is_a_set(steps: list[tuple[bool, bytes]]) -> None:
    mine, plain = hashes.Hashes(), set[bytes]()
    for adds, path in steps:
        assert (path in mine) == (path in plain)
        if adds:
            assert mine.add(path) == (path not in plain)
            plain.add(path)
        else:
            mine.discard(path)
            plain.discard(path)
        assert len(mine) == len(plain)


@given(st.sets(_PATHS), st.lists(_PATHS))
def test_many_are_added_at_once(there: set[bytes], more: list[bytes]) -> None:
    mine = hashes.Hashes()
    for path in there:
        mine.add(path)
    gathered = hashes.Gathered()
    gathered.add(more[:2])
    gathered.add(more[2:])
    mine.merge(gathered)
    other = hashes.Hashes()
    other.merge(gathered)
    assert len(mine) == len(there | set(more))
    assert len(other) == len(set(more))
    assert all(path in mine for path in (*there, *more))
    for path in there | set(more):
        mine.discard(path)
    assert len(mine) == 0


@given(st.sets(_PATHS, min_size=1), _PATHS, st.sampled_from(["add", "discard", "in", "len"]))
def test_what_was_to_be_added_is_there_whatever_is_asked_first(
    more: set[bytes], path: bytes, asked: str
) -> None:
    mine, gathered = hashes.Hashes(), hashes.Gathered()
    gathered.add(more)
    mine.merge(gathered)
    if asked == "add":
        assert mine.add(path) == (path not in more)
    elif asked == "discard":
        mine.discard(path)
        assert path not in mine
    elif asked == "in":
        assert (path in mine) == (path in more)
    mine.discard(path)
    assert len(mine) == len(more - {path})
    assert all(each in mine for each in more - {path})


def test_a_node_takes_some_ten_bytes() -> None:
    many = 200_000
    mine = hashes.Hashes()
    empty = _size(mine)
    for number in range(many):
        mine.add(b"/dubbo/%d" % number)
    assert len(mine) == many
    assert b"/dubbo/7" in mine
    assert b"/dubbo/x" not in mine
    assert (_size(mine) - empty) / many < 12


def _size(mine: hashes.Hashes) -> int:
    return sum(map(sys.getsizeof, mine._parts))
