"""What the supervisor knows of its shards."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from zk2etcd import conditions, messages
from zk2etcd.config import models
from zk2etcd.policy import reports, roster, schedule


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


GUARD = conditions.Guard("trip", "many", 30, 41, (), 5.0)
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


def test_what_is_due_is_looked_for_only_once_something_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of a thousand shards each look takes a part of a millisecond, and the loop turns often."""
    known = roster.Roster()
    known.reshape(_config(sync={"prefixes": ["/a", "/b"], "full_sync_interval": 100}), lambda: 1, 0)
    looks: list[float] = []
    real = schedule.due

    def counted(found: schedule.Schedule, now: float) -> tuple[schedule.Schedule, tuple[str, ...]]:
        looks.append(now)
        return real(found, now)

    monkeypatch.setattr(schedule, "due", counted)
    for shard in known.shards:
        done = conditions.FullSyncResult(1, 1.0, 0.1, 0, 0)
        known.heard(messages.ShardReport(shard, "following", last_full_sync=done), 1.0)
    assert known.due(2.0) == []
    assert known.wakes_at() == 51.0
    for now in (3.0, 10.0, 50.0):
        assert known.due(now) == []
    assert looks == [2.0]
    ((first,),) = known.due(51.5)
    assert first in known.shards
    known.ask(set(known.shards) - {first}, 52.0)
    assert known.due(52.0) == []
    known.heard(dataclasses.replace(known.reports[first], full_sync_running=True), 53.0)
    done = conditions.FullSyncResult(2, 1.0, 0.1, 0, 0)
    known.heard(messages.ShardReport(first, "following", last_full_sync=done), 54.0)
    assert known.due(54.0) == [tuple(set(known.shards) - {first})]
    assert len(looks) == 4


def _sharing(count: int, *wanted: int) -> tuple[roster.Roster, list[str]]:
    """A roster of so many prefixes on two slots, of which those are ours."""
    cfg = _config(sync={"prefixes": [f"/p{at}" for at in range(count)]}, workers={"count": 2})
    known = roster.Roster()
    ids = [messages.shard_id(f"/p{at}", f"/p{at}") for at in range(count)]
    known.reshape(cfg, lambda: 2, 0.0, {ids[at] for at in wanted})
    return known, ids


def test_what_others_have_is_known_and_meant_for_no_worker() -> None:
    known, ids = _sharing(6, 0, 1, 2, 3)
    assert known.assignment.keys() == set(ids[:4])
    assert known.reports.keys() == known.shards.keys() == set(ids)


def test_what_goes_moves_nothing_and_what_comes_goes_where_there_is_room() -> None:
    known, ids = _sharing(6, 0, 1, 2, 3)
    before = dict(known.assignment)
    there = [shard for shard, slot in before.items() if slot == "w0"]
    known.place(frozenset(there))
    assert known.assignment == dict.fromkeys(there, "w0")
    known.place(frozenset({*there, *ids[4:]}))
    assert {shard: known.assignment[shard] for shard in there} == dict.fromkeys(there, "w0")
    assert known.assignment.keys() == {*there, *ids[4:]}


def test_what_comes_forgets_who_had_it_and_what_goes_is_compared_no_more() -> None:
    known, ids = _sharing(2, 0)
    known.show(dataclasses.replace(known.reports[ids[1]], holder="another"))
    result = conditions.FullSyncResult(1, 0.0, 0.1, 0, 0)
    known.heard(messages.ShardReport(ids[0], "following", last_full_sync=result), 1.0)
    known.ask([ids[0]], 2.0)
    known.place(frozenset({ids[1]}))
    assert known.reports[ids[1]].holder is None
    assert known.due(1000.0) == []


def test_what_is_still_said_of_a_shard_that_goes_has_it_compared_no_more() -> None:
    known, ids = _sharing(2, 0, 1)
    result = conditions.FullSyncResult(1, 0.0, 0.1, 0, 0)
    follows = messages.ShardReport(ids[0], "following", last_full_sync=result)
    known.heard(follows, 1.0)
    known.place(frozenset({ids[1]}))
    known.heard(follows, 2.0)
    assert known.due(1000.0) == []
    known.place(frozenset(ids))
    known.heard(follows, 1001.0)
    assert known.due(2000.0) == [(ids[0],)]


def test_buckets_of_another_are_in_no_group() -> None:
    cfg = _config(sync={"prefixes": [{"from": "/a", "to": "/a", "buckets": 4}]})
    known = roster.Roster()
    known.reshape(cfg, lambda: 1, 0.0, frozenset())
    assert known.schedule.groups == {}
    mine = frozenset(list(known.shards)[:2])
    known.place(mine)
    assert known.schedule.groups.keys() == mine


def test_a_bucket_that_another_supervisor_left_to_us_has_its_place_among_the_first() -> None:
    """Its group is another one than when all were dealt out."""
    prefix = {"from": "/a", "to": "/a", "buckets": 4}
    known = roster.Roster()
    cfg = _config(sync={"prefixes": [prefix], "full_sync_interval": 100})
    known.reshape(cfg, lambda: 2, 0, wanted=())
    known.place(set(known.shards))
    done = conditions.FullSyncResult(1, 1.0, 0.1, 0, 0)
    for shard in known.shards:
        known.heard(messages.ShardReport(shard, "following", last_full_sync=done), 1.0)
    due = {known.schedule.entries[shard].due_at for shard in known.shards}
    groups = {known.schedule.group(shard) for shard in known.shards}
    assert len(due) == len(groups)
    assert due == {1.0 + 100 * (at + 1) / len(groups) for at in range(len(groups))}


def test_of_another_etcd_nothing_is_due_before_a_shard_is_ours_there() -> None:
    """All shards are let go of by the reload itself, and may be another supervisor's next."""
    known, ids = _sharing(2, 0, 1)
    result = conditions.FullSyncResult(1, 0.0, 0.1, 0, 0)
    for shard in ids:
        known.heard(messages.ShardReport(shard, "following", last_full_sync=result), 1.0)
    cfg = _config(sync={"prefixes": ["/p0", "/p1"]}, etcd={"endpoints": ["http://127.0.0.2:2379"]})
    known.reshape(cfg, lambda: 2, 2.0, frozenset())
    assert known.assignment == {}
    assert known.due(1000.0) == []


def test_what_was_wrong_with_a_shard_is_its_new_owner_s_to_say() -> None:
    """Else it is told of, and alarmed about, for as long as we live."""
    odd = messages.ShardReport(
        "a",
        "following",
        owned=True,
        keys=7,
        synced_at=5.0,
        unsyncable=(conditions.Unsyncable("/p0/x", "denied"),),
        unsyncable_total=1,
        drift=conditions.Drift(None, 1, 1, ("/p0/y",)),
        conflicts=1,
        conflict_paths=("/p0/z",),
        guard=GUARD,
        pause=conditions.Paused("me", 1.0),
    )
    found = reports.elsewhere(odd, "b", None)
    assert found == messages.ShardReport("a", "waiting", holder="b", synced_at=5.0)
