"""The question to etcd, every two seconds: are the shards still ours, and is what was acknowledged
for them still there? One read of all owner keys and checkpoints; of few shards, of theirs alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from zk2etcd import errors
from zk2etcd_workers.etcd import client as etcd, wire
from zk2etcd_workers.ownership import fence, records
from zk2etcd_workers.rounds import seat

_SOON = 0.25
_MANY = 60
"""Shards from which on one that has come waits longer for the next look, since each is at all."""
_FEW = 40
"""Shards whose keys are read by themselves; of more, all of the state prefix are."""


class Told(NamedTuple):
    """The answer about all keys of the shards in `asked`, each with what was known when it was
    asked; `sent` in wall-clock seconds."""

    sent: float
    asked: Sequence[tuple[seat.Seat, fence.Standing]]
    everything: bool
    answer: wire.Answer | None
    error: errors.EtcdError | None


class OfEtcd:
    """Used by the rounds' thread; `deliver` brings each answer back to it."""

    def __init__(
        self, client: etcd.Client, keys: records.Keys, deliver: Callable[[Any], None]
    ) -> None:
        self._client = client
        self._keys = keys
        self._deliver = deliver
        self._few = _FEW
        self._looking = False
        self._looked_at = 0.0
        self._well: tuple[object, object] | None = None
        """What was asked, and answered, when last all was as it should be."""
        self.due = 0.0
        """When it is to be asked next."""

    def soon(self, seats: int) -> None:
        """A shard has come, and there are so many now."""
        self.due = min(self.due, self._looked_at + _SOON * max(1.0, seats / _MANY))

    def ask(self, now: float, seats: Sequence[seat.Seat]) -> None:
        """Two seconds after the last time, unless that was not answered yet."""
        if now < self.due or self._looking:
            return
        seats = [each for each in seats if not each.ctx.dry_run]
        if not seats:
            return
        self._looked_at, self.due, self._looking = now, now + fence.LOOK_EVERY, True
        asked = [(each, each.ctx.fence.standing) for each in seats]
        everything, sent = len(seats) > self._few, time.time()
        reads: list[wire.Op] = [wire.Range(self._keys.format())]
        if everything:
            start, end = self._keys.all_of("owners")
            reads += [
                wire.Range(start, end, keys_only=True),
                wire.Range(*self._keys.all_of("checkpoints")),
            ]
        else:
            reads += [read for each in seats for read in each.ctx.fence.asks()]
        self._client.txn_soon(
            wire.Txn((), reads),
            lambda *end: self._deliver(Told(sent, asked, everything, *end)),
        )

    def told(self, told: Told) -> None:
        self._looking = False
        answer = told.answer
        if isinstance(told.error, errors.TooManyOperations) and self._few:
            self._few, self.due = 0, 0.0
            return
        if answer is None:
            for each, standing in told.asked:
                each.looked(seat.Looked(told.sent, standing))
            return
        asked, whole = told.asked, (told.asked, answer.signature())
        if whole == self._well:  # Then it means the same for each of them.
            asked = [of for of in asked if not of[0].stood(told.sent, answer.revision)]
        are_well = not asked or self._judged(told, answer, asked)
        self._well = whole if are_well else None

    def _judged(
        self,
        told: Told,
        answer: wire.Answer,
        asked: Sequence[tuple[seat.Seat, fence.Standing]],
    ) -> bool:
        """Let each of these know; whether all is well."""
        formatted = answer.kvs(0)
        found = _by_key(answer, 3 if told.everything else 1 + 2 * len(told.asked))
        are_well = True
        for each, standing in asked:
            seen = each.ctx.fence.among(found, formatted, answer.revision)
            looked = seat.Looked(told.sent, standing._replace(answer=seen))
            are_well = each.looked(looked) and are_well
        return are_well


def _by_key(answer: wire.Answer, count: int) -> Mapping[bytes, wire.Present]:
    return {kv.key: kv for at in range(1, count) for kv in answer.kvs(at)}
