from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.admin.web import wording
from zk2etcd.view import history, problems, status

LOOK_AT = ("wait", "Running, with something to look at")
DASH = "\N{EN DASH}"


def found(**changes: Any) -> dict[str, Any]:
    return status.document(views.view(**changes), views.NOW)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("good", "All is well")),
        ({"state": "standby"}, ("busy", "Standing by")),
        ({"state": "starting"}, ("wait", "Starting")),
        ({"state": "stopping"}, ("wait", "Stopping")),
        ({"state": "degraded"}, ("bad", "Needs attention")),
        ({"shards": (views.shard(unsyncable_total=1),)}, LOOK_AT),
        ({"workers": (views.worker(zk_connected=False),)}, LOOK_AT),
    ],
)
def test_the_headline_is_calm_only_when_nothing_is_to_be_looked_at(
    changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    headline = wording.headline(found(**changes))
    assert (headline.tone, headline.words) == expected


def test_what_stands_still_comes_before_what_is_left_out() -> None:
    shards = (
        views.shard("a", unsyncable_total=1),
        views.shard("b", guard=views.GUARD),
        views.shard("c", phase="error", error="away"),
    )
    listed = wording.worst_first(problems.of(found(shards=shards)))
    assert [each.where for each in listed] == ["b", "c", "a"]


def test_totals_count_keys_changes_and_workers() -> None:
    shards = (views.shard("a", keys=1000), views.shard("b", keys=234, pending=7))
    workers = (views.worker("w0"), views.worker("w1", state="backoff"))
    said = wording.totals(found(shards=shards, workers=workers))
    assert said == "1,234 keys, 7 changes pending · 1 of 2 workers run"
    assert "pending" not in wording.totals(found())


def test_commands_name_the_files_that_are_in_force() -> None:
    config = dataclasses.replace(views.view().config, paths=("a.yaml", "my, own conf.yaml"))
    document = found(config=config, shards=(views.shard("dubbo-1", guard=views.GUARD),))
    typed = [command for _, command in wording.commands(document, document["shards"][0])]
    options = "-c a.yaml -c 'my, own conf.yaml'"
    assert typed == [f"zk2etcd diff {options}", f"zk2etcd release dubbo-1 {options}"]


def test_work_says_how_far_how_fast_and_how_long_still() -> None:
    work = conditions.Work("base", 5000, 4000, 300, 2500.4, 3.2)
    (shard,) = found(shards=(views.shard(phase="full_sync", work=work),))["shards"]
    assert wording.work(shard) == (
        "5,000 read, 4,000 compared, 300 written, 2,500 nodes/s, about 3.2 s left"
    )
    unknown = dataclasses.replace(work, rate=0.0, remaining_seconds=None)
    (shard,) = found(shards=(views.shard(phase="full_sync", work=unknown),))["shards"]
    assert wording.work(shard) == "5,000 read, 4,000 compared, 300 written"
    assert wording.work(found()["shards"][0]) == ""


def test_full_syncs_of_all_shards_newest_first_and_not_too_many() -> None:
    def series(*at: float) -> history.Series:
        results = [conditions.FullSyncResult(1, moment, 0.1, 0, 0) for moment in at]
        return history.Series((), (), (), tuple(results))

    recent = history.Recent(0, (), {"a": series(1, 4), "b": series(2, 3), "gone": series(9)})
    kept = wording.full_syncs(recent, {"a": "/a", "b": "/b"})
    assert [(each.source, each.result.at) for each in kept] == [
        ("/a", 4), ("/b", 3), ("/b", 2), ("/a", 1)
    ]  # fmt: skip
    assert kept[0].at == "00:00:04"
    many = history.Recent(0, (), {str(n): series(n) for n in range(100)})
    assert len(wording.full_syncs(many, {str(n): "/" for n in range(100)})) == 15


@pytest.mark.parametrize(
    ("per_second", "expected"),
    [
        (None, DASH),
        (math.nan, DASH),
        (0.0, "0/s"),
        (0.4, "0.4/s"),
        (12.6, "13/s"),
        (1234.0, "1,234/s"),
    ],
)
def test_rates(per_second: float | None, expected: str) -> None:
    assert wording.rate(per_second) == expected


@pytest.mark.parametrize(
    ("code", "expected"), [(1, "exit status 1"), (-9, "SIGKILL"), (-99, "signal 99")]
)
def test_how_a_worker_ended(code: int, expected: str) -> None:
    assert wording.ended(code) == expected


def test_pieces_are_cut_at_backticks() -> None:
    assert wording.pieces("type `a b`, then `c`") == [
        (False, "type "), (True, "a b"), (False, ", then "), (True, "c")
    ]  # fmt: skip


def test_settings_are_yaml_on_which_nothing_is_played() -> None:
    shown = wording.settings({"sync": {"prefixes": [{"from": "/a\u202eb\x1b"}]}, "empty": None})
    assert shown.splitlines()[0] == "sync:"
    assert all(line.isprintable() for line in shown.splitlines())
    assert "u202e" in shown.lower()
