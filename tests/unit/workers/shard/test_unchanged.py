"""Which puts are left out."""

from __future__ import annotations

from zk2etcd_workers.shard import unchanged


def test_only_what_was_written_last_stands() -> None:
    known = unchanged.Unchanged()
    assert not known.stands(b"/a", b"1")
    known.wrote(b"/a", b"1")
    assert known.stands(b"/a", b"1")
    assert not known.stands(b"/a", b"2")
    assert not known.stands(b"/b", b"1")
    known.wrote(b"/a", b"2")
    assert not known.stands(b"/a", b"1")


def test_what_was_deleted_does_not_stand() -> None:
    known = unchanged.Unchanged()
    known.wrote(b"/a", b"")
    known.wrote(b"/a", None)
    assert not known.stands(b"/a", b"")


def test_the_paths_written_last_are_known() -> None:
    known = unchanged.Unchanged(2)
    for path in (b"/a", b"/b", b"/a", b"/c"):
        known.wrote(path, b"1")
    assert [known.stands(path, b"1") for path in (b"/a", b"/b", b"/c")] == [True, False, True]
