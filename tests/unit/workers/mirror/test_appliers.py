"""Who writes for a shard."""

from __future__ import annotations

from typing import cast

import pytest

from zk2etcd import metrics
from zk2etcd.config import connections
from zk2etcd_workers.drift import ranges
from zk2etcd_workers.etcd import client, limits, wire
from zk2etcd_workers.mirror import appliers
from zk2etcd_workers.model import plan
from zk2etcd_workers.ownership import fence
from zk2etcd_workers.shard import apply


class Silent:
    """In the place of a client that nothing is asked of, and of a fence that nobody needs."""

    learned = limits.Learned(connections.Etcd())

    def take(self, wanted: int) -> int:
        return wanted


def test_a_dry_run_sends_nothing() -> None:
    acks: list[apply.Ack] = []
    dry = appliers.DryApplier(
        cast(client.Client, Silent()),
        cast(fence.Fence, Silent()),
        b"zk2etcd/checkpoints/s",
        connections.Etcd(),
        metrics.null(),
        acks.append,
        lambda path: (path, path),
    )
    writes = [plan.Write(b"/s/%d" % at, b"", b"/s/%d" % at, at) for at in range(3)]
    writes.append(plan.Write(b"/s/9", None, b"/s/9", 9))
    dry.add(writes)
    assert dry.flush()
    assert list(dry.settle(acks.pop()).done) == writes
    dry.guarded([writes[0]])
    assert list(dry.settle(acks.pop()).done) == [writes[0]]


class Place:
    """In the place of a shard's place: what it was told."""

    def __init__(self) -> None:
        self.ended_with: list[tuple[int, int, bool]] = []

    def ended(self, number: int, revision: int = 0, *, told: bool = False) -> None:
        self.ended_with.append((number, revision, told))


class Answer:
    """etcd's to a Txn, at revision 9, whose checkpoint was put or not."""

    revision = 9

    def __init__(self, *, succeeded: bool, checkpoint: bool = False, deleted: bool = False) -> None:
        self.succeeded, self._checkpoint, self._deleted = succeeded, checkpoint, deleted

    def inner(self, _: int) -> Answer:
        return Answer(succeeded=self._checkpoint)

    def has_deleted(self) -> bool:
        return self._deleted


PUT, DELETE = plan.Write(b"/s/1", b"x", b"/s/1", 1), plan.Write(b"/s/2", None, b"/s/2", 0)


@pytest.mark.parametrize(
    ("answer", "done", "revision", "told"),
    [
        (None, [], 0, False),
        (Answer(succeeded=False), [], 0, False),
        (Answer(succeeded=True, checkpoint=True), [], 9, False),
        (Answer(succeeded=True, checkpoint=True), [DELETE], 9, False),
        (Answer(succeeded=True, checkpoint=True), [DELETE, PUT], 9, True),
        (Answer(succeeded=True), [PUT], 9, True),
        (Answer(succeeded=True, deleted=True), [DELETE], 9, False),
        # It may have found no key, and etcd says who wrote last then.
        (Answer(succeeded=True), [DELETE], 0, False),
        (Answer(succeeded=True), [], 0, False),
    ],
)
def test_only_what_wrote_for_certain_is_ours(
    answer: Answer | None, done: list[plan.Write], revision: int, told: bool
) -> None:
    place = Place()
    telling = appliers.TellingApplier(
        cast(ranges.Seat, place),
        cast(client.Client, Silent()),
        cast(fence.Fence, Silent()),
        b"zk2etcd/checkpoints/s",
        connections.Etcd(),
        metrics.null(),
        lambda _: None,
        lambda path: (path, path),
    )
    telling._ended(3, cast("wire.Answer | None", answer), apply.Settled(done=done))
    assert place.ended_with == [(3, revision, told)]
