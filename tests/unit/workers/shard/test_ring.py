"""The rings of marks: what a Txn carries, and what counts of it later."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any, cast

import pytest

from zk2etcd import errors
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import history, plan, tree
from zk2etcd_workers.ownership import reads
from zk2etcd_workers.shard import ring as rings

PREFIX = b"zk2etcd/default/marks/a-1/"


class Etcd:
    """Keys in the order in which they were put."""

    def __init__(self) -> None:
        self.kvs: dict[bytes, wire.Present] = {}
        self._revision = 10

    def put(self, puts: Sequence[wire.Put]) -> None:
        self._revision += 1
        for each in puts:
            self.kvs[each.key] = wire.Present(each.key, each.value, self._revision)

    def range(self, start: bytes, end: bytes) -> Any:
        assert all(start <= key < end for key in self.kvs)
        return types.SimpleNamespace(kvs=list(self.kvs.values()))

    def load(self, ring: rings.Ring, era: int) -> list[history.Mark]:
        return ring.load(rings.read(cast(reads.Reads, self), PREFIX), PREFIX, era)


def write(number: int) -> plan.Write:
    path = b"/s/%d" % number
    return plan.Write(path, b"", path, number, czxid=1)


def test_a_ring_keeps_the_last_and_goes_on_after_them() -> None:
    etcd, ring = Etcd(), rings.Ring()
    for number in range(2, 42):
        etcd.put(ring.puts(PREFIX, 5, [write(number)]))
    heir = rings.Ring()
    assert {mark.zxid for mark in etcd.load(heir, 5)} == set(range(26, 42))
    etcd.put(heir.puts(PREFIX, 6, [write(50)]))
    assert {mark.zxid for mark in etcd.load(rings.Ring(), 5)} == {*range(27, 42), 50}


def test_marks_of_an_ensemble_that_was_given_up_do_not_count() -> None:
    etcd, ring = Etcd(), rings.Ring()
    etcd.put(ring.puts(PREFIX, 5, [write(2)]))
    etcd.put(ring.puts(PREFIX, 9, [write(3)]))
    assert [mark.zxid for mark in etcd.load(ring, 6)] == [3]
    assert etcd.load(ring, 0) == []
    # They make place for the others nevertheless.
    etcd.put(ring.puts(PREFIX, 9, [write(4)]))
    assert [mark.zxid for mark in etcd.load(ring, 6)] == [3, 4]


def test_each_kind_has_its_own_key_and_any_path_comes_back() -> None:
    odd = "/s/\u00e9".encode() + b"\xff"
    etcd, ring = Etcd(), rings.Ring()
    gone, new = plan.Write(odd, None, odd, 7), plan.Write(odd, b"", odd, 8, czxid=8)
    etcd.put(ring.puts(PREFIX, 5, [gone, new, write(9)]))
    assert sorted(etcd.kvs) == [PREFIX + b"%s-00" % k for k in (b"changed", b"created", b"gone")]
    assert set(etcd.load(ring, 1)) == {
        history.Mark(odd, 7, 0),
        history.Mark(odd, 8, 8),
        history.Mark(b"/s/9", 9, 1),
    }


def test_what_is_taken_over_is_put_as_ones_own() -> None:
    etcd = Etcd()
    many = [history.Mark(b"/s/%d" % n, n, 1) for n in range(100, 1, -1)]
    etcd.put(list(rings.taken_over(PREFIX, 12, many)))
    found = etcd.load(rings.Ring(), 12)
    assert sorted(found, reverse=True, key=lambda mark: mark.zxid) == many[:32]


def test_what_a_walk_found_is_put_once_and_beside_the_rings() -> None:
    etcd, ring = Etcd(), rings.Ring()
    marks = [history.Mark(b"/s/1", 4, 1), history.Mark(b"/s/2", 3, 3)]
    etcd.put(ring.puts(PREFIX, 5, [write(2)]))
    etcd.put(ring.walked(PREFIX, 5, marks))
    assert ring.walked(PREFIX, 5, marks) == ()
    heir = rings.Ring()
    assert {mark.zxid for mark in etcd.load(heir, 5)} == {2, 3, 4}
    assert heir.walked(PREFIX, 6, marks) == heir.walked(PREFIX, 6, []) == ()
    assert len(heir.puts(PREFIX, 6, [write(3)])) == 1
    # Of an ensemble that was given up since: the same marks are not the same.
    assert etcd.load(heir, 6) == []
    etcd.put(heir.walked(PREFIX, 6, marks))
    assert etcd.load(heir, 6) == marks


def test_what_nobody_of_us_wrote_is_refused() -> None:
    etcd = Etcd()
    etcd.put([wire.Put(PREFIX + b"changed-00", b'{"v":1,"marks":[]}')])
    with pytest.raises(errors.NewerFormat):
        etcd.load(rings.Ring(), 1)


HIDDEN = [history.Mark(b"/s/%d" % number, number, 1) for number in range(2, 5)]


def test_what_could_not_be_held_against_anything_outlives_the_rings() -> None:
    etcd, ring = Etcd(), rings.Ring()
    etcd.put(ring.hidden(PREFIX, 5, [*HIDDEN, history.Mark(b"/s/2", 1, 1)]))
    assert not ring.hidden(PREFIX, 5, HIDDEN), "known, the latest of each path"
    for number in range(10, 60):
        etcd.put(ring.puts(PREFIX, 5, [write(number)]))
    heir = rings.Ring()
    assert set(HIDDEN) <= set(etcd.load(heir, 5))
    etcd.put(heir.hidden(PREFIX, 6, []))
    assert not set(HIDDEN) & set(etcd.load(heir, 5))
    assert not heir.hidden(PREFIX, 6, [])


def test_only_the_latest_of_many_are_kept() -> None:
    etcd, ring = Etcd(), rings.Ring()
    many = [history.Mark(b"/s/%d" % number, number, 1) for number in range(1, 200)]
    etcd.put(ring.hidden(PREFIX, 5, many))
    assert sorted(each.zxid for each in etcd.load(ring, 5)) == list(range(136, 200))


def test_what_tells_starts_the_shard_over_once_it_is_read() -> None:
    ring = rings.Ring()
    node = tree.Node(b"/s/2", b"", 1, 2, 0, 0, 0)
    ring.heard([(b"/s/2", node)])
    ring.telling = {b"/s/2"}
    ring.heard([(b"/s/2", tree.Miss.NO_AUTH), (b"/s/3", node)])
    for told in (node, tree.Miss.NO_NODE):
        with pytest.raises(errors.SessionDoubt, match="/s/2 can be read again"):
            ring.heard([(b"/s/3", node), (b"/s/2", told)])
