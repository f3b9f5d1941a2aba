"""The document keeps its contract; text, problems and exit code tell the same story."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.view import problems, status

GUARDED: dict[str, Any] = {"guard": views.GUARD}
UNSYNCABLE: dict[str, Any] = {
    "unsyncable": (conditions.Unsyncable("/dubbo/x", "TooLarge"),),
    "unsyncable_total": 12,
}


def document(state: str = "ready", **changes: Any) -> status.Document:
    return status.document(views.view(state=state, shards=(views.shard(**changes),)), views.NOW)


def test_the_document_has_the_keys_of_the_contract() -> None:
    found = json.loads(json.dumps(document(**GUARDED, **UNSYNCABLE)))
    assert found["schema_version"] == 1
    assert found["started_at"] == "2023-11-14T21:13:20.000Z"
    assert set(found) >= {
        "version", "instance", "pid", "started_at", "state", "config", "workers", "shards"
    }  # fmt: skip
    assert set(found["config"]) == {"path", "paths", "loaded_at", "sha256", "error", "trace_id"}
    assert set(found["workers"][0]) >= {
        "slot", "pid", "state", "restarts", "last_exit", "heartbeat_age_seconds",
        "resident_bytes", "shards",
    }  # fmt: skip
    (shard,) = found["shards"]
    assert set(shard) >= {
        "id", "from", "to", "worker", "phase", "holder", "protocol", "progress", "keys", "pending",
        "zxid", "lag_seconds", "unsyncable", "guard", "last_full_sync", "next_full_sync_at",
        "error",
    }  # fmt: skip
    assert set(shard["guard"]) == {
        "id", "kind", "reason", "deletes", "creates", "present", "sample", "since", "live"
    }  # fmt: skip
    assert set(shard["last_full_sync"]) >= {"at", "took_seconds", "put", "delete"}
    assert (shard["progress"]["done"], shard["progress"]["total"]) == (1000, 1000)
    assert set(shard["progress"]) >= {"read", "compared", "written", "rate", "remaining_seconds"}
    assert shard["unsyncable"] == [{"path": "/dubbo/x", "reason": "TooLarge"}]
    assert shard["zxid"] == "0x1234"


def test_where_less_than_usual_is_asked_for_at_once() -> None:
    thin = {"etcd_read": 65_536, "zookeeper_read": 1_048_576}
    view = views.view(workers=(views.worker(narrow=thin), views.worker("w1")))
    found = status.document(view, views.NOW)
    assert found["workers"][0]["narrow"] == thin
    assert found["workers"][1]["narrow"] is None


def test_by_what_the_ensemble_is_known() -> None:
    known = conditions.Ensemble("/other", 0x5, views.NOW - 7200, 7, 21)
    found = document(ensemble=known)
    assert found["shards"][0]["ensemble"] == {
        "path": "/other", "zxid": "0x5", "at": "2023-11-14T20:13:20.000Z", "nodes": 7, "marks": 21
    }  # fmt: skip
    said = "ZooKeeper known by /other of 2023-11-14T20:13:20Z, zxid 0x5"
    assert status.ensemble(found) == said
    assert status.ensemble(document()) == ""


def test_a_pause_is_told_with_who_and_is_no_trouble() -> None:
    pause = conditions.Paused("alice@desk (127.0.0.1)", views.NOW - 7200)
    found = document(phase="paused", pause=pause, guard=None)
    (shard,) = found["shards"]
    assert shard["pause"] == {"by": pause.by, "since": "2023-11-14T20:13:20.000Z"}
    assert status.exit_code(found) == 0
    (said,) = problems.of(found)
    assert said.what == "paused 2h 0m ago by alice@desk (127.0.0.1): nothing is written"
    assert said.remedy == "`zk2etcd resume dubbo-12345678` mirrors it again"
    guarded = document(phase="paused", pause=pause, guard=views.GUARD)
    assert status.exit_code(guarded) == 1


def test_what_is_not_known_is_null() -> None:
    (shard,) = document(synced_at=None, last_full_sync=None)["shards"]
    assert (shard["lag_seconds"], shard["last_full_sync"], shard["guard"]) == (None, None, None)


def test_lag_grows_while_nothing_is_heard() -> None:
    view = views.view()
    lags = [status.document(view, views.NOW + age)["shards"][0]["lag_seconds"] for age in (0, 60)]
    assert lags == [1.0, 61.0]
    assert status.document(view, views.NOW - 60)["shards"][0]["lag_seconds"] == 0.0


@pytest.mark.parametrize(
    ("state", "changes", "code"),
    [
        ("ready", {}, 0),
        ("standby", {"phase": "waiting", "owned": False}, 0),
        ("starting", {}, 1),
        ("stopping", {}, 1),
        ("degraded", {}, 1),
        ("ready", GUARDED, 1),
        ("ready", views.FAILED, 1),
        ("ready", UNSYNCABLE, 1),
    ],
)
def test_exit_codes(state: str, changes: dict[str, Any], code: int) -> None:
    assert status.exit_code(document(state, **changes)) == code


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        (GUARDED, "guarded: deletes (500 of 1000 keys, such as /a/1)", "nothing is deleted"),
        (
            {"guard": dataclasses.replace(views.GUARD, creates=7, live=True)},
            "guarded: deletes (500 of 1000 keys, 7 new in the same places, such as /a/1)",
            "nothing is deleted, live neither, while this stands",
        ),
        (views.FAILED, "etcd does not answer", "tried again in 4.0 s (attempt 4)"),
        (UNSYNCABLE, "12 paths cannot be mirrored: /dubbo/x: TooLarge", "the rest is mirrored"),
        (
            {"conflicts": 5, "conflict_paths": ("/a/1", "/a/2", "/a/3", "/a/4")},
            "5 nodes have keys in their place that are not ours: /a/1, /a/2, /a/3 and 2 more",
            "zk2etcd adopt",
        ),
        (
            {"conflicts": 1, "conflict_paths": ("/a/1",)},
            "1 node has a key in its place that is not ours: /a/1",
            "it is left alone",
        ),
    ],
)
def test_a_shards_problem_comes_with_what_to_do(
    changes: dict[str, Any], what: str, remedy: str
) -> None:
    (problem,) = problems.of(document(**changes))
    assert problem.where == "dubbo-12345678"
    assert what in problem.what
    assert remedy in problem.remedy
    shown = " ".join(views.drawn(document("degraded", **changes)).split())
    assert what in shown
    assert "DEGRADED" in shown


def test_problems_of_the_supervisor_and_its_workers() -> None:
    dead = views.worker("w1", state="backoff", pid=None, restarts=4, last_exit=-9)
    lost = views.worker("w2", zk_connected=False)
    view = views.view(workers=(views.worker(), dead, lost))
    assert [problem.where for problem in problems.of(status.document(view, views.NOW))] == [
        "worker w1",
        "worker w2",
    ]
    assert problems.of(document()) == []


def test_progress_of_a_full_sync() -> None:
    for progress, expected in (((1, 4), "full sync 25%"), ((7, 0), "full sync (7)")):
        (shard,) = document(phase="full_sync", progress=progress)["shards"]
        assert status.progress(shard) == expected
    assert status.summary(document()) == "1 shard: 1 following; lag at most 1.0 s"
    nothing = status.document(views.view(shards=()), views.NOW)
    assert status.summary(nothing) == "no shards"


def test_an_identity_trip_says_that_nothing_is_written() -> None:
    guard = dataclasses.replace(views.GUARD, kind="identity", reason="identity: another")
    found = status.document(views.view(shards=(views.shard(guard=guard),)), 0.0)
    problem = problems.of(found)[-1]
    assert "another" in problem.what
    assert "nothing is written" in problem.remedy
    assert "zk2etcd release dubbo-12345678" in problem.remedy


def test_a_bucket_is_told_apart_from_the_others_of_its_prefix() -> None:
    shards = [dataclasses.replace(views.shard(), bucket=n, buckets=3) for n in range(3)]
    found = status.document(views.view(shards=tuple(shards)), views.NOW)
    assert [(each["bucket"], each["buckets"]) for each in found["shards"]] == [
        (0, 3),
        (1, 3),
        (2, 3),
    ]
    assert all(f"/dubbo {number}/3 " in views.drawn(found) for number in (1, 2, 3))
    assert status.source({"from": "/dubbo"}) == "/dubbo", "an older supervisor does not say"


def test_a_full_sync_shows_while_the_shard_follows() -> None:
    (shard,) = views.document(views.running("a", 450, 1000, phase="following"))["shards"]
    assert status.progress(shard) == "following, full sync 45%"


def test_missed_events_are_a_problem() -> None:
    missed = dataclasses.replace(views.RESULT, missed=3)
    (problem,) = problems.of(document(last_full_sync=missed))
    assert problem.kind == "missed"
    assert "3 changes" in problem.what
    assert problems.of(document()) == []


@pytest.mark.parametrize("count", [1, 5])
def test_what_is_kept_is_told_and_is_no_trouble(count: int) -> None:
    """It is what `keep_last` is for, and may be so for days."""
    paths = tuple(f"/dubbo/s{number}/i" for number in range(min(count, 4)))
    found = document(kept=conditions.Kept("k1", count, paths, views.NOW - 60))
    (shard,) = found["shards"]
    assert shard["kept_last"] == {
        "id": "k1", "deletes": count, "sample": paths, "since": "2023-11-14T22:12:20.000Z"
    }  # fmt: skip
    (problem,) = problems.of(found)
    assert (problem.kind, problem.where) == ("kept", "dubbo-12345678")
    said = "1 key stays, as the last of its folder, though its node is gone: /dubbo/s0/i"
    if count == 5:
        names = "/dubbo/s0/i, /dubbo/s1/i, /dubbo/s2/i and 2 more"
        said = f"5 keys stay, each as the last of its folder, though their nodes are gone: {names}"
    assert problem.what == said
    assert "`zk2etcd release dubbo-12345678`" in problem.remedy
    assert status.exit_code(found) == 0
    assert status.stands_out(shard)
    assert document()["shards"][0]["kept_last"] is None


def test_somebody_who_keeps_writing_is_a_problem() -> None:
    told = conditions.Drift(None, 9, 12, tuple(f"/dubbo/n{number}" for number in range(10)))
    found = document(drift=told)
    (problem,) = problems.of(found)
    assert (problem.kind, problem.where) == ("drift", "dubbo-12345678")
    assert "/dubbo/n0, /dubbo/n1, /dubbo/n2 and 9 more" in problem.what
    assert status.stands_out(found["shards"][0])
    assert found["shards"][0]["drift"]["paths"][0] == "/dubbo/n0"


def test_a_watch_that_tells_nothing_is_a_problem() -> None:
    found = document(drift=conditions.Drift("it is away", 0, 0, ()))
    (problem,) = problems.of(found)
    assert "it is away" in problem.what
    quiet = document(drift=conditions.Drift(None, 3, 0, ()))
    assert not problems.of(quiet)
    assert not status.stands_out(quiet["shards"][0])
    assert document()["shards"][0]["drift"] is None


def test_why_a_shard_last_started_over() -> None:
    last = conditions.StartedOver(views.NOW, "put back", "t1")
    (shard,) = document(started_over=last)["shards"]
    assert shard["started_over"]["reason"] == "put back"
    assert shard["started_over"]["at"].endswith("Z")
    assert document()["shards"][0]["started_over"] is None
