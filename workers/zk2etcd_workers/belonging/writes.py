"""What becomes of writes where only what is marked is ours: the form of each, and what its answer
means. One that turns out to be otherwise than it was known is looked at and tried again, in the
next Txn: its path is busy until then.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import NamedTuple

from zk2etcd_workers.belonging import forms, marks
from zk2etcd_workers.etcd import wire
from zk2etcd_workers.model import plan

_TRIES = 8
"""Txns for one write; then whoever makes and deletes its key all the while may have it."""
_Kind = forms.Kind


class Outcome(NamedTuple):
    """Of the writes of a Txn: `done`; `moved`, if they were guarded; `again`, to be sent once more;
    `theirs`, whose keys are not ours; `keyless`: the paths of deletes that found no key."""

    done: list[plan.Write]
    moved: list[plan.Write]
    again: list[plan.Write]
    theirs: list[plan.Write]
    keyless: set[bytes]


class Marking:
    """Of one applier. Used by the shard's thread only."""

    def __init__(self, of: marks.Marks) -> None:
        self._marks = of
        self._next: dict[bytes, forms.Kind] = {}
        self._tries: collections.Counter[bytes] = collections.Counter()

    def shape(
        self,
        writes: Sequence[plan.Write],
        asks: Sequence[wire.Range],
        *,
        guarded: bool,
        flat: bool,
    ) -> forms.Shape:
        """:param asks: what is read beside them."""
        of = self._marks
        kinds = [(self._guarded(w) if guarded else self._kind(w), w) for w in writes]
        return forms.shape(of, kinds, asks, flat=flat)

    def touch(self) -> wire.Put:
        """One put of a Txn that is not nested, for etcd's quota (`grouping`): all others are."""
        return wire.Put(self._marks.base, b"")

    def _kind(self, write: plan.Write) -> forms.Kind:
        if self._next and (known := self._next.get(write.key)) is not None:
            return known
        if self._marks.title(write.key) is not None:
            return _Kind.DELETE if write.value is None else _Kind.CHANGES
        is_new = write.born or write.zxid == write.czxid
        return _Kind.STRETCH if write.value is not None and is_new else _Kind.LOOK

    def _guarded(self, write: plan.Write) -> forms.Kind:
        """A repair has just looked at both."""
        if not write.expect:
            return _Kind.ORPHAN if write.key in self._marks.orphans else _Kind.CREATE
        if self._marks.title(write.key) is None:
            return _Kind.LOOK
        return _Kind.DELETE if write.value is None else _Kind.UPDATE

    # --- answers -----------------------------------------------------------------------------

    def settle(self, shape: forms.Shape, answer: wire.Answer, *, guarded: bool) -> Outcome:
        """:param answer: to the shape's operations."""
        outcome = Outcome([], [], [], [], set())
        revision = answer.revision
        for unit, found in shape.answers(answer):
            if guarded:
                (write,) = unit.writes
                done = found.succeeded and unit.kind not in (_Kind.LOOK, _Kind.ORPHAN)
                (outcome.done if done else outcome.moved).append(write)
                self._marks.orphans.pop(write.key, None)
                self._known(unit, found, revision)
            elif unit.kind is _Kind.LOOK:
                self._looked(unit.writes[0], found, outcome)
            elif found.succeeded:
                self._known(unit, found, revision)
                outcome.done.extend(unit.writes)
            else:
                for write in unit.writes:
                    self._try(write, forms.ALONE.get(unit.kind, _Kind.LOOK), outcome)
        for write in (*outcome.done, *outcome.theirs) if self._next else ():
            self._next.pop(write.key, None)
            self._tries.pop(write.key, None)
        return outcome

    def _known(self, unit: forms.Unit, found: wire.Answer, revision: int) -> None:
        if unit.kind in (_Kind.CREATE, _Kind.STRETCH):
            if found.succeeded:
                self._marks.knows([write.key for write in unit.writes], revision)
        elif unit.kind not in (_Kind.UPDATE, _Kind.CHANGES) or not found.succeeded:
            self._marks.forget(unit.writes[0].key)

    def _looked(self, write: plan.Write, found: wire.Answer, outcome: Outcome) -> None:
        """A look that succeeded found no key, and deleted its mark, if there was one."""
        if found.succeeded:
            self._marks.forget(write.key)
            if write.value is None:
                outcome.done.append(write)
                outcome.keyless.add(write.path)
            else:
                self._try(write, _Kind.CREATE, outcome)
            return
        key, mark = (next(iter(found.kvs(at)), None) for at in range(2))
        ours = self._marks.looked(key, write.key, mark)
        self._marks.orphans.pop(write.key, None)
        if not ours:
            outcome.theirs.append(write)
        else:
            self._try(write, _Kind.DELETE if write.value is None else _Kind.UPDATE, outcome)

    def _try(self, write: plan.Write, kind: forms.Kind, outcome: Outcome) -> None:
        self._tries[write.key] += 1
        if self._tries[write.key] > _TRIES:
            outcome.theirs.append(write)
            return
        self._next[write.key] = kind
        outcome.again.append(write)
