"""What the supervisor knows of its shards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.policy import roster


def test_a_report_without_a_shard_says_only_how_fresh_it_is() -> None:
    known = roster.Roster()
    before = messages.ShardReport("a", "following", synced_at=5.0, keys=3)
    known.reports = {"a": before, "b": messages.ShardReport("b", "following", synced_at=5.0)}
    told = messages.ShardReport("b", "error", synced_at=5.0)
    report = messages.Report("w0", 1, 1, ("a", "b", "gone"), (told,), 0.0, True, synced_at=6.0)
    known.synced(report)
    assert known.reports["a"] == dataclasses.replace(before, synced_at=6.0)
    assert before.synced_at == 5.0
    assert known.reports["b"].synced_at == 5.0
    known.synced(dataclasses.replace(report, synced_at=None))
    assert known.reports["a"].synced_at == 6.0


GUARD = messages.Guard("trip", "many", 30, 41, (), 5.0)
MARK = (b"00000000000000ff 0000000000000007", 12, 7)


def _config(**sections: Any) -> models.Config:
    content = {"sync": {"prefixes": ["/dubbo"]}, "etcd": {"endpoints": ["http://127.0.0.1:2379"]}}
    return models.Config.model_validate({**content, **sections})


def test_what_etcd_had_acknowledged_is_handed_on_once_no_worker_has_the_shard() -> None:
    known, cfg = roster.Roster(), _config()
    known.reshape(cfg, lambda: 1, 0.0)
    (shard,) = known.shards
    assert known.inherited([shard]) == {}, "nothing is known yet"
    report = messages.ShardReport(shard, "guarded", owned=True, guard=GUARD, mark=MARK)
    known.heard(report, 1.0)
    assert known.inherited([shard]) == {}, "its worker has it, and knows more"
    known.orphan(shard, "w0", -9)
    assert known.inherited([shard]) == {shard: messages.Inherited(MARK, GUARD)}
    known.reshape(cfg, lambda: 1, 2.0)
    assert known.inherited([shard]) == {shard: messages.Inherited(MARK, GUARD)}


@pytest.mark.parametrize(
    "other",
    [
        {"etcd": {"endpoints": ["http://127.0.0.2:2379"]}},
        {"etcd": {"cluster_id": "7b1be101a379b708"}},
        {"state": {"prefix": "elsewhere"}},
    ],
)
def test_but_not_to_another_etcd_or_to_other_keys_of_ours(other: dict[str, Any]) -> None:
    known = roster.Roster()
    known.reshape(_config(), lambda: 1, 0.0)
    (shard,) = known.shards
    known.heard(messages.ShardReport(shard, "paused", owned=True, mark=MARK), 1.0)
    known.orphan(shard, "w0", -9)
    known.reshape(_config(**other), lambda: 1, 2.0)
    assert known.inherited([shard]) == {}
