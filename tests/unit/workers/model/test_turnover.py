from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, strategies as st

from zk2etcd_workers.model import turnover

NAMES = st.sampled_from([b"a", b"a-b", b"b", b"a.c"])
TREES = st.sets(st.lists(NAMES, min_size=1, max_size=4).map(lambda names: b"/" + b"/".join(names)))


def _side(*paths: bytes) -> turnover.Side:
    side = turnover.Side()
    for path in sorted(paths):
        side.saw(path)
    return side


def _replaced(went: Sequence[bytes], came: Sequence[bytes]) -> int:
    return turnover.replaced(_side(*went), _side(*came))


def test_instances_that_came_in_the_place_of_others_replace_them() -> None:
    went = [b"/d/s/providers/%d" % number for number in range(5)]
    came = [b"/d/s/providers/%d" % number for number in range(10, 14)]
    assert _replaced(went, came) == 4
    assert _replaced(went, went + came) == 5


def test_what_came_elsewhere_excuses_nothing() -> None:
    went = [b"/d/one/providers/1", b"/d/one/providers/2"]
    assert _replaced(went, [b"/d/two/providers/1", b"/d/two/providers/2"]) == 0
    assert _replaced([*went, b"/d/two/providers/9"], [b"/d/two/providers/1"] * 1) == 1


def test_a_subtree_is_counted_where_its_topmost_node_was() -> None:
    """An instance with nodes below it is replaced by another with as many."""
    went = [b"/app/i/1", b"/app/i/1-b", b"/app/i/1-b/meta", b"/app/i/1/meta", b"/app/i/1/meta/x"]
    came = [b"/app/i/2", b"/app/i/2/meta", b"/app/i/2/meta/x"]
    assert (_side(*went).places, _side(*went).tops) == ({b"/app/i": 5}, {b"/app/i": 2})
    assert _replaced(went, came) == 2
    assert _replaced(came, went) == 3


def test_one_large_subtree_replaces_one_that_went() -> None:
    """Not many: they are lost, however many nodes it has."""
    services = [b"/d/s%d" % number for number in range(50)]
    went = [path for each in services for path in (each, each + b"/providers/1")]
    came = [b"/d/new", *(b"/d/new/providers/%d" % number for number in range(300))]
    assert _replaced(went, came) == 2
    instances = [b"/d/app/%d" % number for number in range(30)]
    consumers = [b"/d/app/consumers", *(b"/d/app/consumers/%d" % number for number in range(30))]
    assert _replaced(instances, consumers) == 1


def test_the_root_and_what_is_below_it() -> None:
    assert _side(b"/", b"/a", b"/a/b").places == {b"": 3}


@given(TREES)
def test_each_is_counted_at_the_parent_of_the_topmost_of_its_ancestors(paths: set[bytes]) -> None:
    expected: dict[bytes, int] = {}
    for path in paths:
        parts = path.split(b"/")
        above = [b"/".join(parts[:end]) for end in range(2, len(parts) + 1)]
        top = next(each for each in above if each in paths)
        place = top.rpartition(b"/")[0]
        expected[place] = expected.get(place, 0) + 1
    assert _side(*paths).places == expected


@given(TREES, TREES)
def test_no_more_is_replaced_than_went_nor_than_came(went: set[bytes], came: set[bytes]) -> None:
    gone, new = _side(*went), _side(*came)
    replaced = turnover.replaced(gone, new)
    assert 0 <= replaced <= min(len(went), turnover.beside(gone, new))
    assert turnover.beside(gone, new) <= len(came)
    assert turnover.replaced(gone, gone) == len(went)
