"""What is to be read next, whatever order it came in."""

from __future__ import annotations

from hypothesis import given, strategies as st

from zk2etcd_workers.walk import directories

KEYS = st.binary(min_size=1, max_size=4)


def place(key: bytes) -> directories.Place:
    return key, directories.Dir(key, 1)


@given(st.lists(st.tuples(st.sets(KEYS, max_size=6), st.integers(0, 4))))
def test_the_nearest_comes_first(steps: list[tuple[set[bytes], int]]) -> None:
    """Some replies arrive, some directories are used up, and so on."""
    known, waiting = directories.Frontier(), list[bytes]()
    for reply, used in steps:
        known.add([place(key) for key in reply])
        waiting = sorted([*waiting, *reply])
        for _ in range(min(used, len(waiting))):
            assert known.first.path == waiting.pop(0)
            known.pop()
        assert bool(known) == bool(waiting)


def test_one_that_is_read_in_parts_makes_room_for_what_lies_between() -> None:
    known = directories.Frontier()
    known.add([place(b"/a/a"), place(b"/b/a")])
    first = known.first
    known.pop()
    known.add([(b"/a/m", first)])
    known.add([place(b"/a/b/")])
    found = []
    while known:
        found.append(known.first.path)
        known.pop()
    assert found == [b"/a/b/", b"/a/a", b"/b/a"]
