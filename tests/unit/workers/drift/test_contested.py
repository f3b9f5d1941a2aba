"""Keys that somebody keeps writing."""

from __future__ import annotations

from zk2etcd_workers.drift import contested

KEY = b"/a"


def test_twice_nobody_waits() -> None:
    known = contested.Contested()
    assert known.due(KEY, 5.0) == 5.0
    assert known.repaired(KEY, 5.0) == 0.0
    assert known.due(KEY, 5.1) == 5.1
    known.repaired(KEY, 5.1)
    assert known.due(KEY, 5.2) == 5.1 + 0.5
    assert not list(known.now())


def test_a_war_slows_down_and_is_named() -> None:
    known, now, delays = contested.Contested(), 0.0, []
    for _ in range(12):
        now = known.due(KEY, now)
        delays.append(known.repaired(KEY, now))
    assert delays[:6] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == 60.0
    assert list(known.now()) == [KEY]
    # Others do not wait.
    assert known.due(b"/b", now) == now


def test_peace_is_noticed() -> None:
    known, now = contested.Contested(), 0.0
    for _ in range(10):
        now = known.due(KEY, now)
        known.repaired(KEY, now)
    known.forget(now + 119.0)
    assert list(known.now()) == [KEY]
    known.forget(now + 121.0)
    assert not list(known.now())
    assert known.repaired(KEY, now + 200.0) == 0.0


def test_what_was_at_peace_begins_anew() -> None:
    known = contested.Contested()
    known.repaired(KEY, 0.0)
    known.repaired(KEY, 0.1)
    assert known.due(KEY, 61.0) == 61.0
    assert known.repaired(KEY, 61.0) == 0.0


def test_it_knows_of_so_many() -> None:
    known = contested.Contested(most=10)
    for number in range(100):
        known.repaired(b"/%d" % number, float(number) / 100)
    known.repaired(b"/99", 1.0)
    known.repaired(b"/99", 1.0)
    assert len(known._known) == 10
    assert list(known.now()) == [b"/99"]
