"""Whose values are taken for small before they were read."""

from __future__ import annotations

from zk2etcd_workers.walk import directories, trust


def _folder(path: str, children: int = 3) -> directories.Dir:
    made = directories.Dir(path.encode(), children)
    made.names = [b"%d" % number for number in range(children)]
    return made


def _taught(*, withheld: bool = False) -> trust.Trust:
    """It has seen a thousand small values in folders named `providers`, four levels down."""
    made = trust.Trust(withheld=withheld)
    for number in range(500):
        made.saw(_folder(f"/dubbo/service{number}/providers"), 2)
    return made


def test_a_folder_is_trusted_once_many_of_its_kind_held_small_values() -> None:
    made = trust.Trust(withheld=False)
    folder = _folder("/dubbo/new/providers")
    made.saw(_folder("/dubbo/old/providers"), 999)
    assert not made.has(folder)
    made.saw(_folder("/dubbo/old/providers"), 1)
    assert made.has(folder)


def test_one_of_another_kind_is_not() -> None:
    taught = _taught()
    assert taught.has(_folder("/dubbo/new/providers"))
    assert not taught.has(_folder("/dubbo/new/configurators"))
    assert not taught.has(_folder("/dubbo/zone/new/providers"))


def test_nor_is_one_of_many_children() -> None:
    assert not _taught().has(_folder("/dubbo/new/providers", 65))


def test_nor_one_that_has_not_been_listed() -> None:
    folder = _folder("/dubbo/new/providers")
    folder.names = None
    assert not _taught().has(folder)


def test_a_large_value_ends_all_trust() -> None:
    taught = _taught()
    taught.lose()
    taught.saw(_folder("/dubbo/other/providers"), 5_000)
    assert not taught.any
    assert not taught.has(_folder("/dubbo/new/providers"))


def test_it_is_withheld_where_that_went_wrong_before() -> None:
    taught = _taught(withheld=True)
    assert not taught.any
    assert not taught.has(_folder("/dubbo/new/providers"))


def test_requests_of_several_walks_are_as_large_but_fewer() -> None:
    def taught(walks: int) -> trust.Trust:
        made = trust.Trust(withheld=False, request=256, walks=walks)
        assert made.room == 0, "nobody is trusted yet"
        made.saw(_folder("/dubbo/old/providers"), 1_000)
        return made

    for walks, at_once in ((1, 4), (2, 2), (4, 1), (8, 1), (16, 1), (1_024, 1)):
        made, sent = taught(walks), 0
        while room := made.room:
            made.under_way += room
            sent += 1
        assert sent == at_once
        assert made.under_way == 1_024 // walks
    made = taught(1)
    made.under_way = 1_000
    assert made.room == 0, "24 are not worth a request"


def test_nor_is_one_beside_many_that_held_small_values() -> None:
    """What is large comes together: the next folders may all be so."""
    made = trust.Trust(withheld=False)
    for number in range(4_000):
        made.saw(_folder(f"/dubbo/a{number}", 5), 5)
    assert not made.any
    assert not made.has(_folder("/dubbo/b0"))


def test_kinds_are_not_remembered_without_end() -> None:
    """Those seen last are, so that it matters not what the walk met first."""
    made = trust.Trust(withheld=False)
    for number in range(3_000):
        made.saw(_folder(f"/a/b{number}/c{number}"), 1)
    for number in (0, 2_999):
        made.saw(_folder(f"/a/b{number}/c{number}"), 999)
    assert made.has(_folder("/a/b2999/c2999"))
    assert not made.has(_folder("/a/b0/c0"))
