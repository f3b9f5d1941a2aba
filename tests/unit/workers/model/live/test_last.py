from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given, strategies as st

from zk2etcd_workers.model.live import last

F = b"/a/f"


def _folder(*went: bytes, mirrored: bool = True, path: bytes = F) -> last.Folder:
    made = last.Folder(path, lambda _: mirrored)
    for each in went:
        made.goes(each)
    return made


def _asked(folder: last.Folder, keys: Iterable[bytes], going: Iterable[bytes] = ()) -> bytes | None:
    under_way = last.Going()
    for path in going:
        under_way.add(path)
    folder.saw(sorted(keys), under_way)
    return folder.last


def test_paths_above_and_below() -> None:
    assert [last.folder_of(path) for path in (b"/a/b/c", b"/a", b"/")] == [b"/a/b", b"/", b"/"]
    assert last.child_of(b"/a", b"/a/b/c/d") == b"/a/b"
    assert last.child_of(b"/a", b"/a/b") == b"/a/b"
    assert last.child_of(b"/", b"/a/b") == b"/a"


def test_the_one_that_went_last_is_kept() -> None:
    assert _asked(_folder(b"/a/f/1", b"/a/f/3", b"/a/f/2"), [F + b"/1", F + b"/2"]) == F + b"/2"
    # One that never had a key does not count.
    assert _asked(_folder(b"/a/f/1", b"/a/f/2"), [F + b"/1"]) == F + b"/1"
    assert _asked(_folder(b"/a/f/1"), []) is None


def test_another_key_lets_all_of_them_go() -> None:
    assert _asked(_folder(F + b"/1"), [F + b"/1", F + b"/2"]) is None
    # Not if that one is on its way out.
    assert _asked(_folder(F + b"/1"), [F + b"/1", F + b"/2"], going=[F + b"/2"]) == F + b"/1"
    # Its own key is none of them, nor one below it, nor its neighbour's by name.
    folder = _folder(F + b"/1")
    assert _asked(folder, [F, F + b"/1", F + b"/1/x"]) == F + b"/1"
    assert folder.has_more
    assert _asked(_folder(F + b"/1"), [F + b"/1", F + b"/1-x", F + b"/1/x"]) is None


def test_the_root_is_a_folder() -> None:
    assert _asked(_folder(b"/1", path=b"/"), [b"/", b"/1", b"/1/x"]) == b"/1"
    assert _asked(_folder(b"/1", path=b"/"), [b"/", b"/1", b"/2/x", b"/2"]) is None


def test_what_lies_below_one_without_a_key_is_asked_for() -> None:
    """It went, and they are about to; or it is too large for etcd."""
    folder = _folder(F + b"/1")
    assert _asked(folder, [F + b"/1", F + b"/2/x", F + b"/2/y"]) == F + b"/1"
    assert list(folder.unsure) == [F + b"/2"]
    folder = _folder(F + b"/1", mirrored=False)
    assert _asked(folder, [F + b"/1", F + b"/2/x"]) is None, "that one never has a key"
    folder = _folder(F + b"/1")
    assert _asked(folder, [F + b"/1", F + b"/2/x"], going=[F + b"/2"]) == F + b"/1"
    assert not folder.unsure


def test_how_many_are_on_their_way_out() -> None:
    going = last.Going()
    for path in (F + b"/1", F + b"/2", F + b"/1", b"/a/g"):
        going.add(path)
    assert (going.below(F), going.below(b"/a"), going.below(b"/")) == (2, 1, 0)
    going.discard(F + b"/1")
    going.discard(F + b"/1")
    assert going.below(F) == 1
    assert F + b"/1" not in going
    assert F + b"/2" in going


class _Store:
    """etcd's keys below one folder, with deletes that land at any time after they were decided."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self.keys = set(keys)
        self.going = last.Going()
        self.under_way: list[bytes] = []

    def went(self, paths: list[bytes], page: int) -> None:
        """One turn: these are judged by what etcd has now."""
        folder, keys = _folder(*paths), sorted(self.keys)
        for start in range(0, len(keys), page):
            if folder.stays is None:
                folder.saw(keys[start : start + page], self.going)
        for path in paths:
            if path != folder.last and path not in self.going:
                self.going.add(path)
                self.under_way.append(path)

    def lands(self, at: int) -> None:
        path = self.under_way.pop(at % len(self.under_way))
        self.keys.discard(path)
        self.going.discard(path)


_NAMES = [F + b"/%d" % number for number in range(6)]
_STEPS = st.lists(
    st.one_of(
        st.lists(st.sampled_from(_NAMES), min_size=1, unique=True),
        st.integers(0, 5),
        st.sampled_from(_NAMES),
    ),
    max_size=30,
)


@given(_STEPS, st.integers(1, 3))
def test_whatever_the_order_one_key_stays(
    steps: list[list[bytes] | int | bytes], page: int
) -> None:
    """Deletes are judged in turns, land in any order, and nodes come back in between."""
    store = _Store(_NAMES)
    for step in steps:
        if isinstance(step, list):
            store.went(step, page)
        elif isinstance(step, int):
            if store.under_way:
                store.lands(step)
        elif step not in store.going:
            store.keys.add(step)
        assert store.keys
    while store.under_way:
        store.lands(0)
        assert store.keys


# --- what is remembered --------------------------------------------------------------------------


def test_one_a_folder_is_remembered() -> None:
    kept = last.Kept()
    for path in (F + b"/1", F + b"/2", b"/a/g/1", b"/1"):
        kept.add(path)
    assert sorted(kept.paths) == [b"/1", F + b"/2", b"/a/g/1"]
    assert (kept.of(F), kept.of(b"/"), kept.of(b"/b")) == (F + b"/2", b"/1", None)
    assert F + b"/1" not in kept
    kept.discard(F + b"/1")
    kept.discard(F + b"/2")
    assert len(kept) == 2
    kept.replace([F + b"/3"])
    assert kept.paths == [F + b"/3"]


def test_of_very_many_only_the_folders_are() -> None:
    kept = last.Kept()
    for number in range(last.MOST + 5):
        kept.add(b"/%d/x" % number)
    assert len(kept) == last.MOST + 5
    assert len(kept.paths) == last.MOST
    beyond = b"/%d" % (last.MOST + 1)
    kept.add(beyond + b"/x")
    assert len(kept) == last.MOST + 5
    assert kept.of(beyond) is None
    assert kept.forgets(beyond)
    assert not kept.forgets(beyond)
    assert not kept.forgets(b"/0")
    assert len(kept) == last.MOST + 4


def test_it_goes_by_another_name_once_there_are_more() -> None:
    """A release is for as many as were shown."""
    kept = last.Kept()
    assert kept.tell(1.0, "a") is None
    for path in (b"/f/1", b"/g/1"):
        kept.add(path)
    first = kept.tell(2.0, "b")
    assert first is not None
    assert (first.id, first.deletes, first.sample, first.since) == ("b", 2, ("/f/1", "/g/1"), 2.0)
    assert kept.tell(3.0, "c") is first
    kept.discard(b"/f/1")
    fewer = kept.tell(4.0, "d")
    assert fewer is not None
    assert (fewer.id, fewer.deletes, fewer.sample) == ("b", 1, ("/g/1",))
    kept.replace([b"/g/1", b"/h/1", b"/i/1"])
    more = kept.tell(5.0, "e")
    assert more is not None
    assert (more.id, more.deletes, more.since, kept.most) == ("e", 3, 2.0, 3)
    kept.replace([])
    assert kept.tell(6.0, "f") is None
    kept.add(b"/f/1")
    again = kept.tell(7.0, "g")
    assert again is not None
    assert (again.id, again.since) == ("g", 7.0)
