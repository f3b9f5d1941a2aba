"""However long the paths of a tree are, what is told of them is not."""

from __future__ import annotations

import pickle

import hypothesis
import pytest
from hypothesis import strategies as st

from zk2etcd import conditions
from zk2etcd_workers.model import told, tree
from zk2etcd_workers.shard import facts


@hypothesis.given(st.binary(max_size=5_000))
def test_a_path_is_short(path: bytes) -> None:
    assert len(told.path(path)) <= told.LONGEST_PATH


@hypothesis.given(st.binary(max_size=70))
def test_a_short_path_is_whole(path: bytes) -> None:
    assert told.path(path) == tree.shown(path)  # at most 4 characters a byte


@pytest.mark.parametrize("letter", ["a", "é", "語", "😀"])
def test_a_long_path_shows_its_ends(letter: str) -> None:
    path = ("/root/" + letter * 200_000 + "/leaf").encode()
    shown = told.path(path)
    assert shown.startswith("/root/" + letter * 100)
    assert shown.endswith(letter * 100 + "/leaf")
    assert len(shown) <= told.LONGEST_PATH


@pytest.mark.parametrize("shards", [1, 2, 64, 1_000, 3_000])
def test_a_report_fits_the_pipe_however_many_shards_there_are(shards: int) -> None:
    said = facts.Facts()
    for number in range(200):
        said.unsyncable.add(b"/x%d" % number + "語".encode() * 1_000, "r" * 5_000, _Log())
    said.error = said.refusal = said.holder = "語" * 50_000
    sample = tuple("語" * 50_000 for _ in range(20))
    said.guard = conditions.Guard("t", "語" * 50_000, 1, 1, sample, 0.0)
    said.drift = conditions.Drift("語" * 50_000, 1, 20, sample)
    one = len(pickle.dumps(said.report("a" * 49, None, room=told.room(shards))))
    assert one * shards < 15 * 1024 * 1024


def test_one_shard_says_a_hundred_paths() -> None:
    said = facts.Facts()
    for number in range(200):
        said.unsyncable.add(b"/x%d" % number + b"y" * 1_000, "denied", _Log())
    report = said.report("a", None)
    assert (len(report.unsyncable), report.unsyncable_total) == (100, 200)


def test_what_is_short_is_told_as_it_is() -> None:
    trip = conditions.Guard("t", "many", 1, 1, ("/a", "/b"), 0.0)
    assert told.guard(trip, 1_000) == trip
    assert told.guard(None, 1_000) is None
    drift = conditions.Drift(None, 1, 2, ("/a", "/b"))
    assert told.drift(drift, 1_000) == drift
    assert told.sentence("why", 8_000) == "why"
    assert told.sentence(None, 8_000) is None


def test_long_paths_that_cannot_be_mirrored_are_counted_and_not_all_kept() -> None:
    said = facts.Facts()
    for number in range(300):
        said.unsyncable.add(b"/x%d" % number + b"y" * 100_000, "denied", _Log())
    assert len(said.unsyncable) == 300
    assert len(said.unsyncable.sample(1_000)) < 100
    for number in range(300):
        said.unsyncable.discard(b"/x%d" % number + b"y" * 100_000)
    assert len(said.unsyncable) == 0
    said.unsyncable.add(b"/y" * 100_000, "denied", _Log())
    assert len(said.unsyncable.sample(10)) == 1


class _Log:
    def warning(self, *_: object, **fields: object) -> None:
        assert len(str(fields)) < 10_000
