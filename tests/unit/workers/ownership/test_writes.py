"""Which small writes share a Txn."""

from __future__ import annotations

from hypothesis import given, strategies

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import writes

SIZES = strategies.integers(0, 3 * writes._MOST_BYTES // 2)


def write(name: int, ops: int, size: int = 0) -> writes.Write:
    key = b"%d" % name
    compares = [wire.Compare(key, "mod", "=", 1), wire.Compare(key + b"c", "mod", ">", 1)]
    puts = [wire.Put(b"%s/%d" % (key, at), b"x" * (size // max(1, ops))) for at in range(ops)]
    return writes.Write(compares, puts, ())


@given(strategies.lists(strategies.tuples(strategies.integers(0, 9), SIZES), max_size=200))
def test_all_of_them_in_order_and_within_what_etcd_takes(kinds: list[tuple[int, int]]) -> None:
    wanted = [write(at, ops, size) for at, (ops, size) in enumerate(kinds)]
    chunks = list(writes._chunks(wanted))
    assert [each for chunk in chunks for each in chunk] == wanted
    for chunk in chunks:
        assert sum(len(each.compares) for each in chunk) <= 128
        assert sum(len(each.ops) for each in chunk) <= 128
        assert len(chunk) == 1 or sum(each.size for each in chunk) <= writes._MOST_BYTES


def test_a_key_is_in_a_txn_once() -> None:
    again = [write(1, 2), write(2, 1), write(1, 1), write(3, 1)]
    assert list(map(len, writes._chunks(again))) == [2, 2]


def test_sixty_shards_share_one() -> None:
    assert list(map(len, writes._chunks([write(at, 1) for at in range(60)]))) == [50, 10]
