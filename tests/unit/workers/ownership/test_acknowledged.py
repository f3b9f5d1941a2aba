"""What etcd must still have of a shard."""

from __future__ import annotations

import pytest

from zk2etcd_workers.etcd import wire
from zk2etcd_workers.ownership import acknowledged

KEY = b"zk2etcd/t/checkpoints/x"
MARK = acknowledged.Mark(b"0000000000000010 0000000000000007", 20)


@pytest.mark.parametrize(
    ("value", "revision", "lost"),
    [
        (MARK.value, 20, False),
        (b"0000000000000011 0000000000000007", 21, False),
        (MARK.value, 1_000_020, False),
        (MARK.value, 19, True),
        (b"000000000000000f 0000000000000007", 1_000_020, True),
    ],
)
def test_a_checkpoint_from_before_the_last_acknowledged_one_is_a_loss(
    value: bytes, revision: int, lost: bool
) -> None:
    assert MARK.is_lost([wire.Present(KEY, value, revision)]) is lost


def test_a_checkpoint_that_is_gone_is_a_loss() -> None:
    assert MARK.is_lost([])


def test_the_compare_holds_from_the_acknowledged_revision_on() -> None:
    assert MARK.stands(KEY) == wire.Compare(KEY, "mod", ">", 19)


def test_answers_may_come_in_any_order() -> None:
    later = acknowledged.Mark(b"0000000000000010 0000000000000007", 21)
    assert MARK.later(later) == later.later(MARK) == later
