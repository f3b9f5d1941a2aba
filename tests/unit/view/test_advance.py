"""The words for how far something is, of one shard and of all."""

from __future__ import annotations

import dataclasses

import pytest

from tests.unit import views
from zk2etcd.view import advance, status


@pytest.mark.parametrize(
    ("done", "total", "rate", "left", "said"),
    [
        (450, 1000, 100.0, 5.5, "450 of 1,000 nodes (45%), 100 nodes/s, 5.5 s left"),
        (0, 0, 0.0, None, "0 nodes"),
        (12345, 0, 900.4, None, "12,345 nodes, 900 nodes/s"),
        (1000, 1000, 3.0, None, "1,000 of 1,000 nodes (99%), 3 nodes/s"),
        (999, 1000, 5.0, 0.2, "999 of 1,000 nodes (99%), 5 nodes/s, 1.0 s left"),
    ],
)
def test_what_is_known_is_said(
    done: int, total: int, rate: float, left: float | None, said: str
) -> None:
    assert advance.sentence(done, total, rate, left) == said


def test_all_that_runs_is_summed_up() -> None:
    both = views.document(
        views.running("a", 450, 1000), views.running("b", 50, 1000), views.shard("c")
    )
    assert "2 full sync; full sync 25%, 5.5 s left; lag" in status.summary(both)
    unknown = views.document(
        views.running("a", 450, 1000), views.running("b", 50, 0, work=views.work(50, left=None))
    )
    assert "full sync 500 nodes; lag" in status.summary(unknown)
    assert advance.overall(views.document(views.shard("c"))["shards"]) == ""


def test_shards_that_were_asked_for_something_are_done_running_or_not_begun() -> None:
    over = views.shard("a", progress=(700, 700))
    due = dataclasses.replace(views.shard("b", progress=(300, 300)), full_sync_due=True)
    assert advance.totals(views.document(over, views.running("c", 450, 1000), due)["shards"]) == (
        1150,
        2000,
    )
    assert advance.totals(views.document(over, views.running("c", 450, 0))["shards"]) == (1150, 0)
    empty = views.shard("d", progress=(0, 0))
    assert advance.totals(views.document(over, empty)["shards"]) == (700, 700)
