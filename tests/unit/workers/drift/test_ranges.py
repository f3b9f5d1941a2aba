"""Who is told of a stranger's change: the shard whose key it is, from its token on, once."""

from __future__ import annotations

import pytest

from zk2etcd_workers.drift import ours, ranges
from zk2etcd_workers.model import mapping


class Shard:
    """Its place, and what was asked of it."""

    def __init__(self, place: ranges.Range, token: int, bucket: int = 0, buckets: int = 1) -> None:
        self.woken = self.compared = 0
        asks = ranges.Asks(self._wake, lambda: True, self._compare, lambda: False)
        mapped = mapping.Mapping("/a", "/t", ("/a/left-out",), bucket, buckets)
        self.rollbacks = 0
        self.seat = ranges.Seat(mapped, token, asks, 0)
        self.seat.sits(place, lambda: self.rollbacks)
        place.joined(self.seat)

    def _wake(self) -> None:
        self.woken += 1

    def _compare(self) -> None:
        self.compared += 1


@pytest.fixture
def place() -> ranges.Range:
    made = ranges.Range.of(mapping.Mapping("/a", "/t"), 0)
    made.begins(100)
    made.created()
    assert not made.is_told
    made.created()
    return made


def change(revision: int, *names: str) -> ours.Change:
    return ours.Change(revision, [f"/t{name}".encode() for name in names])


def test_only_what_is_mirrored_there_is_told(place: ranges.Range) -> None:
    shard = Shard(place, 100)
    place.heard(change(101, "", "/x", "/left-out/y", "-beside", "/x//y", "/z"))
    assert shard.seat.take() == [b"/a", b"/a/x", b"/a/z"]
    assert shard.seat.take() == ()
    assert shard.woken == 1


def test_the_whole_of_etcd_is_one_part() -> None:
    parts = ranges.Range.of(mapping.Mapping("/", "/"), 0).parts
    assert list(parts) == [ranges.Part(b"/", b"0")]
    own, below = ranges.Range.of(mapping.Mapping("/a", "/t"), 0).parts
    assert (own, below) == (ranges.Part(b"/t"), ranges.Part(b"/t/", b"/t0"))


def test_what_was_before_its_token_was_there_when_its_base_began(place: ranges.Range) -> None:
    shard = Shard(place, 105)
    place.heard(change(105, "/x"))
    assert not shard.seat.take()
    place.heard(change(106, "/y"))
    assert shard.seat.take() == [b"/a/y"]


def test_what_was_told_before_it_came_is_told_again(place: ranges.Range) -> None:
    """Between its token and this moment somebody may have written."""
    Shard(place, 100)
    place.heard(change(103, "/x"))
    place.heard(change(105, "/y"))
    assert place.covers(104)
    late = Shard(place, 104)
    assert late.seat.take() == [b"/a/y"]


def test_what_is_not_remembered_is_told_again_by_etcd(
    place: ranges.Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "_KEPT", 3)
    for revision in range(101, 110):
        place.heard(change(revision, "/x"))
    assert not place.covers(104)
    assert place.covers(106)
    place.earlier(104)
    assert place.covers(104)


def test_buckets_hear_of_their_own_and_know_each_others_writes(place: ranges.Range) -> None:
    shards = [Shard(place, 100, bucket, 3) for bucket in range(3)]
    names = [f"/n{number}" for number in range(30)]
    number = shards[0].seat.sent()
    place.heard(change(101, *names))
    shards[0].seat.ended(number, 101)
    assert not any(shard.seat.take() for shard in shards)
    place.heard(change(102, *names))
    taken = [shard.seat.take() for shard in shards]
    assert all(taken)
    assert sorted(path for each in taken for path in each) == sorted(
        f"/a{name}".encode() for name in names
    )


def test_an_attempt_that_is_over_holds_nothing_up(place: ranges.Range) -> None:
    lost, other = Shard(place, 100, 0, 2), Shard(place, 100, 1, 2)
    lost.seat.sent()
    place.heard(change(101, *(f"/n{number}" for number in range(9))))
    assert not other.seat.take()
    lost.seat.leaves()
    assert other.seat.take()


def test_a_revision_from_before_etcd_was_put_back_is_not_ours(place: ranges.Range) -> None:
    shard = Shard(place, 100)
    number = shard.seat.sent()
    shard.rollbacks = 1
    shard.seat.ended(number, 107)
    place.heard(change(107, "/x"))
    assert shard.seat.take() == [b"/a/x"]


def test_more_than_may_wait_is_compared_whole(
    place: ranges.Range, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "MOST_WAITING", 10)
    shard = Shard(place, 100)
    place.heard(change(101, *(f"/n{number}" for number in range(11))))
    assert shard.seat.owes
    assert not shard.seat.take()
    assert "more than 10" in (shard.seat.why or "")
    shard.seat.compares()
    assert shard.compared == 1
    assert "more than 10" in (shard.seat.why or "")  # What is wrong is not known yet.


def test_nobody_says_that_all_is_known_before_it_was_compared(place: ranges.Range) -> None:
    shard = Shard(place, 100)
    shard.seat.loses("once")
    shard.seat.compares()
    shard.seat.loses("once more")
    shard.seat.compared()
    said = [shard.seat.why]
    shard.seat.compares()
    said.append(shard.seat.why)
    woken = shard.woken
    shard.seat.compared()
    said.append(shard.seat.why)
    assert said == ["once more", "once more", None]
    assert shard.woken == woken + 1


def test_why_it_is_not_told_is_said_once(place: ranges.Range) -> None:
    shard = Shard(place, 100)
    place.says("away")
    place.says("away")
    assert shard.woken == 1
    assert shard.seat.why == "away"
    assert not place.is_told
