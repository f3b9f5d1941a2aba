"""The shape of Txns by marks: what etcd takes, and under which compares."""

from __future__ import annotations

from collections.abc import Sequence

import hypothesis
import pytest
from hypothesis import strategies

from zk2etcd_workers.belonging import forms, marks
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import plan

BASE = b"zk2etcd/owned/p-1"
_LEVEL = 128
_ASK = wire.Range(b"a", b"b")


def write(number: int, value: bytes | None = b"v") -> plan.Write:
    return plan.Write(b"/k%06d" % number, value, b"/k%06d" % number, 1)


def known(writes: Sequence[plan.Write], cut: int = 0) -> marks.Marks:
    of = marks.Marks(BASE, cut)
    of.knows([each.key for each in writes], 7)
    return of


def deepest(txn: wire.Txn, left: int = _LEVEL) -> int:
    """What is left of etcd's operations at the deepest level: below 0 it is refused."""
    left -= max(len(txn.compare), len(txn.success), len(txn.failure))
    inner = [op for op in (*txn.success, *txn.failure) if isinstance(op, wire.Txn)]
    return min([left, *(deepest(each, left) for each in inner)])


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(
    strategies.lists(
        strategies.sampled_from([k for k in forms.Kind if k is not forms.Kind.ORPHAN]),
        min_size=1,
        max_size=forms.MOST,
    ),
    strategies.booleans(),
    strategies.integers(0, 40),
)
def test_etcd_takes_any_mixture(kinds: list[forms.Kind], asks: bool, below: int) -> None:
    """With all that stands beside it: the fence's compares, the checkpoint, the put for the quota;
    and with as many reads below deleted keys as there may be."""
    if asks:
        kinds = kinds[: forms.MOST // 2]
    writes = [write(n) for n in range(len(kinds))]
    if below:  # A bucket's: so many keys, and those of another may come.
        paths = [b"/t/c%06d/k%06d" % (n // below, n) for n in range(len(kinds))]
        writes = [w._replace(key=path, path=path) for w, path in zip(writes, paths, strict=True)]
    wanted = list(zip(kinds, writes, strict=True))
    reads = [_ASK] * len(kinds) if asks else []
    shape = forms.shape(known(writes, 3 if below else 0), wanted, reads, flat=False)
    beside: list[wire.Op] = [wire.Put(b"checkpoint", b""), wire.Put(b"touch", b"")]
    assert deepest(wire.Txn((), [*beside, *shape.ops])) >= 0
    assert sorted(w.key for unit in shape.units for w in unit.writes) == [w.key for w in writes]


def test_a_small_server_gets_no_inner_ones_of_many() -> None:
    writes = [write(n) for n in range(60)]
    wanted = [(forms.Kind.STRETCH, each) for each in writes]
    shape = forms.shape(marks.Marks(BASE), wanted, (), flat=True)
    assert [unit.kind for unit in shape.units] == [forms.Kind.CREATE] * 60
    assert all(isinstance(op, wire.Txn) and len(op.success) == 2 for op in shape.ops)


def test_a_key_is_created_only_with_its_mark_and_where_there_is_neither() -> None:
    txn = forms.one(marks.Marks(BASE), forms.Kind.CREATE, write(1))
    assert {(c.key, c.field, c.operand) for c in txn.compare} == {
        (b"/k000001", "create", 0),
        (BASE + b"/k000001", "create", 0),
    }
    assert [op.key for op in txn.success] == [b"/k000001", BASE + b"/k000001"]


@pytest.mark.parametrize("kind", [forms.Kind.UPDATE, forms.Kind.DELETE])
def test_what_is_changed_is_what_was_created(kind: forms.Kind) -> None:
    one = write(1, None if kind is forms.Kind.DELETE else b"new")
    txn = forms.one(known([one]), kind, one)
    assert {(c.key, c.field, c.operand) for c in txn.compare} == {
        (b"/k000001", "create", 7),
        (BASE + b"/k000001", "create", 7),
    }
    with pytest.raises(AssertionError, match="not known to be ours"):
        forms.one(marks.Marks(BASE), kind, one)


def test_what_a_mark_says() -> None:
    of, key = marks.Marks(BASE), b"/k"
    ours = wire.Present(key, b"v", 9, created=5)
    same = wire.Present(of.name(key), b"", 5, created=5)
    adopted = wire.Present(of.name(key), marks.value(5), 8, created=8)
    assert of.looked(ours, key, same)
    assert of.title(key) == (5, 5)
    assert of.looked(ours, key, adopted)
    assert of.title(key) == (5, 8)
    for other in (ours._replace(created=6), None):
        assert not of.looked(other, key, adopted)
        assert of.title(key) is None
        assert of.orphans == {key: (other.created if other else 0, 8)}
    assert not of.looked(ours, key, None)
    assert not of.looked(ours, key, same._replace(value=b"no number", created=5))
    assert marks.says(same._replace(value=b"no number")) == -1
