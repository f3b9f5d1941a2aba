"""What the supervisor knows of its shards."""

from __future__ import annotations

import dataclasses

from zk2etcd import messages
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
