"""The Txn of one write, or of some, where only what is marked is ours. Pure.

Each is an inner Txn with compares of its own. Keys that a walk, or their birth, says to be missing
are created some at a time, under one compare for the stretch from the first to the last: etcd has
nothing there, mostly, and a compare for each would cost as much again. Where that fails, they go
one by one; where one fails, its key and its mark are looked at.
"""

from __future__ import annotations

import enum
import itertools
import operator
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zk2etcd_workers.belonging import marks
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import plan

MOST = 1_500
"""Writes in one Txn. Of etcd's 128 operations a level, what is inside has what is left by what it
is in: with 50 inner Txns of 60 puts, and the odd ones, that is as far as it goes."""
_STRETCH, _GROUP, _FEW, _INNER = 30, 40, 8, 60
_KEY = operator.attrgetter("key")


class Kind(enum.IntEnum):
    """What a form does with its write, or (`STRETCH`, `CHANGES`) with some, all or none of them."""

    STRETCH = enum.auto()
    CHANGES = enum.auto()
    CREATE = enum.auto()
    UPDATE = enum.auto()
    DELETE = enum.auto()
    LOOK = enum.auto()
    ORPHAN = enum.auto()
    """Delete a mark without a key: so that the key may be created next."""


ALONE = {Kind.STRETCH: Kind.CREATE, Kind.CHANGES: Kind.UPDATE}
"""What each write goes by where some of them do not go together."""


class Unit(NamedTuple):
    """A form, and where its answer stands: in the inner Txn `at`, itself, or there at `inside`."""

    kind: Kind
    writes: Sequence[plan.Write]
    at: int
    inside: int | None = None


class Shape(NamedTuple):
    """The operations of a Txn of marked writes."""

    ops: Sequence[wire.Op]
    units: Sequence[Unit]

    def answers(self, answer: wire.Answer) -> Iterator[tuple[Unit, wire.Answer]]:
        """:param answer: to `ops`, and what came before them is left out."""
        groups: dict[int, wire.Answer] = {}
        for unit in self.units:
            if unit.inside is None:
                yield unit, answer.inner(unit.at)
                continue
            if (group := groups.get(unit.at)) is None:
                group = groups[unit.at] = answer.inner(unit.at)
            yield unit, group.inner(unit.inside)


def shape(
    of: marks.Marks,
    wanted: Sequence[tuple[Kind, plan.Write]],
    asks: Sequence[wire.Op],
    *,
    flat: bool,
) -> Shape:
    """:param wanted: what is to be done for each write.
    :param asks: Ranges, whose answers are those that `wire.Answer.ranges` yields, from behind.
    :param flat: this server takes too few operations for inner Txns of many.
    """
    if flat or len(wanted) <= _FEW:
        single = [(ALONE.get(kind, kind), write) for kind, write in wanted]
        forms = [one(of, kind, write) for kind, write in single]
        units = [Unit(kind, (write,), at) for at, (kind, write) in enumerate(single)]
        return Shape([*forms, *asks], units)
    others = [(kind, write) for kind, write in wanted if kind not in ALONE]
    together = [*_stretches(of, wanted), *_changes(wanted)]
    # The longest first: as far as there is room, beside the groups of what is left.
    together.sort(key=lambda each: len(each[1]), reverse=True)
    ops: list[wire.Op] = []
    found: list[Unit] = []
    left = sum(len(writes) for _, writes in together) + len(others) + len(asks)
    for kind, writes in together:
        left -= len(writes)
        if len(writes) < _FEW or len(ops) + -(-left // _GROUP) >= _INNER:
            others += ((ALONE[kind], write) for write in writes)
            left += len(writes)
            continue
        found.append(Unit(kind, writes, len(ops)))
        ops.append((stretch if kind is Kind.STRETCH else changes)(of, writes))
    for start in range(0, len(others), _GROUP):
        part = others[start : start + _GROUP]
        found += (Unit(kind, (write,), len(ops), at) for at, (kind, write) in enumerate(part))
        ops.append(wire.Txn((), [one(of, kind, write) for kind, write in part]))
    for start in range(0, len(asks), _GROUP):
        ops.append(wire.Txn((), asks[start : start + _GROUP]))
    return Shape(ops, found)


_Together = tuple[Kind, Sequence[plan.Write]]


def _stretches(of: marks.Marks, wanted: Sequence[tuple[Kind, plan.Write]]) -> Iterator[_Together]:
    """What is new, in the order of its keys: a stretch at a time, where nobody else's keys are to
    be expected."""
    new = sorted((write for kind, write in wanted if kind is Kind.STRETCH), key=_KEY)
    for _, each in itertools.groupby(new, lambda write: of.part(write.key)):
        part = list(each)
        for start in range(0, len(part), _STRETCH):
            yield Kind.STRETCH, part[start : start + _STRETCH]


def _changes(wanted: Sequence[tuple[Kind, plan.Write]]) -> Iterator[_Together]:
    known = [write for kind, write in wanted if kind is Kind.CHANGES]
    for start in range(0, len(known), _STRETCH):
        yield Kind.CHANGES, known[start : start + _STRETCH]


def stretch(of: marks.Marks, writes: Sequence[plan.Write]) -> wire.Txn:
    """Create these, which are in the order of their keys, if there is nothing from the first to the
    last."""
    first, last, name = writes[0].key, writes[-1].key + b"\0", of.name
    new, put, base = tuple.__new__, wire.Put, of.base
    ops = [new(put, (write.key, write.value or b"", 0)) for write in writes]
    ops += [new(put, (base + write.key, b"", 0)) for write in writes]
    nothing = (
        wire.Compare(first, "create", "=", 0, last),
        wire.Compare(name(first), "create", "=", 0, name(last)),
    )
    return wire.Txn(nothing, ops)


def changes(of: marks.Marks, writes: Sequence[plan.Write]) -> wire.Txn:
    """Put these, if all of them are what they are known to be."""
    stands: list[wire.Compare] = []
    new, compare, put, base = tuple.__new__, wire.Compare, wire.Put, of.base
    for write in writes:
        title = of.title(write.key)
        assert title is not None, "a key that is not known to be ours"
        stands.append(new(compare, (write.key, "create", "=", title.created, b"")))
        stands.append(new(compare, (base + write.key, "create", "=", title.marked, b"")))
    return wire.Txn(stands, [new(put, (each.key, each.value or b"", 0)) for each in writes])


def one(of: marks.Marks, kind: Kind, write: plan.Write) -> wire.Txn:
    """The form of one write."""
    key, name = write.key, of.name(write.key)
    if kind is Kind.CREATE:
        absent = wire.Compare(key, "create", "=", 0), wire.Compare(name, "create", "=", 0)
        return wire.Txn(absent, [wire.Put(key, write.value or b""), wire.Put(name, b"")])
    if kind is Kind.LOOK:
        look = wire.Range(key, keys_only=True), wire.Range(name)
        return wire.Txn([wire.Compare(key, "create", "=", 0)], [wire.Delete(name)], look)
    title = of.orphans.get(key) if kind is Kind.ORPHAN else of.title(key)
    assert title is not None, "a key that is not known to be ours"
    if kind is Kind.ORPHAN:
        return orphan(of, key, title)
    stands = [
        wire.Compare(key, "create", "=", title.created),
        wire.Compare(name, "create", "=", title.marked),
    ]
    if write.expect is not None:
        stands.append(wire.Compare(key, "mod", "=", write.expect))
    if kind is Kind.DELETE:
        return wire.Txn(stands, [wire.Delete(key), wire.Delete(name)])
    return wire.Txn(stands, [wire.Put(key, write.value or b"")])


def orphan(of: marks.Marks, key: bytes, title: marks.Title) -> wire.Txn:
    """Delete a mark that says nothing of what is there."""
    name = of.name(key)
    stands = (
        wire.Compare(key, "create", "=", title.created),
        wire.Compare(name, "create", "=", title.marked),
    )
    return wire.Txn(stands, [wire.Delete(name)])
