from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Sequence
from typing import Any

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.view import history, published

WALL = views.NOW


class Watched:
    """A history and a clock, which a look moves on by a second."""

    def __init__(self) -> None:
        self.history = history.History()
        self.now = 0.0

    def look(self, *shards: published.ShardView, seconds: float = 1.0) -> None:
        self.history.observe(shards, WALL + self.now, self.now)
        self.now += seconds

    def sample(self, *shards: published.ShardView) -> history.Series:
        """Looks until the next sample is taken; the newest one of the first shard."""
        before = self.history.recent(-1).at
        while self.history.recent(-1).at == before:
            self.look(*shards)
        return self.history.recent().shards[shards[0].id]


def shard(name: str = "a", **changes: Any) -> published.ShardView:
    return views.shard(name, **changes)


def values(found: Sequence[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 2) for value in found]


def test_the_worst_lag_between_two_samples_is_kept() -> None:
    watched = Watched()
    watched.look(shard(synced_at=WALL))
    watched.look(shard(synced_at=WALL - 3.0))
    series = watched.sample(shard(synced_at=WALL + 100.0))
    assert values(series.lag) == [4.0]
    assert values(watched.sample(shard(synced_at=None)).lag) == [None]


def test_the_rate_is_of_the_keys_written_since_the_last_sample() -> None:
    watched = Watched()
    watched.look(shard(written=1000))
    assert values(watched.sample(shard(written=1000)).rate) == [0.0]
    assert values(watched.sample(shard(written=1400)).rate) == [100.0]


def test_a_mirror_that_counts_from_nothing_again_makes_no_negative_rate() -> None:
    watched = Watched()
    watched.sample(shard(written=1000))
    watched.look(shard(written=1040))
    assert values(watched.sample(shard(written=0)).rate) == [10.0]
    assert values(watched.sample(shard(written=20)).rate) == [5.0]
    rates = watched.history.recent(-1).shards["a"].rate
    assert all(rate >= 0 for rate in rates)


def test_progress_is_known_while_a_base_or_a_full_sync_runs() -> None:
    watched = Watched()
    quiet = watched.sample(shard(progress=(10, 10)))
    assert values(quiet.progress) == [None]
    assert values(watched.sample(shard(phase="full_sync", progress=(1, 4))).progress) == [0.25]
    running = shard(full_sync_running=True, progress=(3, 2))
    assert values(watched.sample(running).progress) == [1.0]
    assert values(watched.sample(shard(phase="full_sync", progress=(1, 0))).progress) == [None]


def test_the_last_full_syncs_are_kept_each_once() -> None:
    watched = Watched()
    for sequence in range(1, 9):
        result = conditions.FullSyncResult(sequence, WALL + sequence, 0.5, sequence, 0)
        watched.look(shard(last_full_sync=result))
        watched.look(shard(last_full_sync=result))
    watched.sample(shard(last_full_sync=None))
    kept = watched.history.recent().shards["a"].full_syncs
    assert [each.sequence for each in kept] == [4, 5, 6, 7, 8]


def test_only_a_quarter_of_an_hour_is_kept_and_what_came_after_a_sample_can_be_had() -> None:
    watched = Watched()
    for number in range(history.SAMPLES + 20):
        watched.sample(shard(synced_at=WALL + watched.now - number))
    whole = watched.history.recent(-1)
    assert (whole.first, len(whole.at)) == (20, history.SAMPLES)
    assert list(whole.at) == sorted(whole.at)
    assert whole.at[-1] - whole.at[0] <= 15 * 60
    newest = whole.first + history.SAMPLES - 1
    later = watched.history.recent(newest - 3)
    assert (later.first, len(later.at)) == (newest - 2, 3)
    assert list(later.shards["a"].lag) == list(whole.shards["a"].lag)[-3:]
    assert len(watched.history.recent(newest).at) == 0
    assert len(watched.history.recent().at) == 1


def test_a_number_of_an_earlier_supervisor_brings_everything() -> None:
    watched = Watched()
    watched.sample(shard())
    assert len(watched.history.recent(500).at) == 1


def test_a_shard_that_came_later_is_unknown_before_and_one_that_went_is_forgotten() -> None:
    watched = Watched()
    watched.sample(shard("a"))
    watched.sample(shard("a"), shard("b"))
    recent = watched.history.recent(-1)
    assert values(recent.shards["b"].lag)[0] is None
    assert values(recent.shards["b"].lag)[1] is not None
    for number in range(100):
        watched.look(shard(f"s{number}"))
    assert set(watched.history.recent(-1).shards) == {"s99"}


def test_hundreds_of_shards_stay_small() -> None:
    shards = [shard(f"shard-{number}") for number in range(500)]
    tracemalloc.start()
    try:
        watched = Watched()
        for _ in range(history.SAMPLES * 2):
            watched.sample(*shards[:2])
        watched.sample(*shards)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size < 3_000_000


def test_the_document_is_json_without_nan() -> None:
    watched = Watched()
    watched.sample(shard("a"))
    watched.sample(shard("a"), shard("b", synced_at=None))
    found = history.document(watched.history.recent(-1), "host-1")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert (found["instance"], found["first"], found["next"], len(found["at"])) == (
        "host-1",
        0,
        1,
        2,
    )
    assert found["shards"]["b"]["lag"] == [None, None]
    assert found["shards"]["a"]["full_syncs"][0]["put"] == views.RESULT.put


def test_nothing_is_known_before_the_first_sample() -> None:
    found = history.document(history.History().recent(-1), "host-1")
    assert (found["at"], found["next"], found["shards"]) == ([], -1, {})
