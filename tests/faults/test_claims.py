"""The checks of what zk2etcd said, on claims that are wrong on purpose."""

from __future__ import annotations

import pathlib
from typing import Any, cast

from tests.faults import claims, world
from zk2etcd import errors


class Said:
    """A supervisor that left these log lines and shows these shards."""

    def __init__(self, log: pathlib.Path, repaired: list[str], shards: list[Any]) -> None:
        self.log = log
        self._repaired = repaired
        self._shards = shards

    def events(self, event: str | None = None) -> list[dict[str, str]]:
        if event is None:
            failed = {"event": "the supervisor failed", "exception": "Traceback\nKeyError: 'x'"}
            return [{"event": "stopped"}, {**failed, "timestamp": "now", "process": "supervisor"}]
        assert event == "repaired"
        found = [{"path": path, "op": "put", "timestamp": "now"} for path in self._repaired]
        return [*found, {"repeated": "116", "in_seconds": "4.8"}]

    def status(self) -> dict[str, Any]:
        if not self._shards:
            raise errors.Unreachable("dead")
        return {"shards": self._shards}


class On:
    """The part of a world that the checks look at."""

    def __init__(self, *supervisors: Said) -> None:
        self.supervisors = supervisors
        self.prefixes = world.PREFIXES
        self.tampered = {"/conf/s0/n1"}
        self.unreadable = {"/conf/s1"}

    def release_guards(self) -> bool:
        return False


def world_of(*supervisors: Said) -> world.World:
    return cast(world.World, On(*supervisors))


def shards(**differs: Any) -> list[Any]:
    """All shards as they should be, but for the first bucket of the first."""
    well = {"owned": True, "phase": "following", "holder": None, "error": None}
    found: list[Any] = [
        {"from": prefix.source, "bucket": bucket, **well}
        for prefix in world.PREFIXES
        for bucket in range(prefix.buckets)
    ]
    found[0].update(differs)
    return found


def test_a_repair_of_what_nobody_tampered_with_is_seen(tmp_path: pathlib.Path) -> None:
    repaired = ["/conf/s0/n1", "/conf/s1", "/conf/s1/n2", "/conf/s10"]
    said = Said(tmp_path, repaired, shards())
    never_started = Said(tmp_path / "none", ["/conf/s0"], [])
    found = list(claims.missed(world_of(said, never_started)))
    assert [(each.check, each.key) for each in found] == [("missed", "/conf/s10")]


def test_a_failure_that_nobody_had_thought_of_is_seen(tmp_path: pathlib.Path) -> None:
    found = list(claims.bugs(world_of(Said(tmp_path, [], []), Said(tmp_path / "none", [], []))))
    assert [(each.check, each.key) for each in found] == [("bug", "supervisor")]
    assert "KeyError: 'x'" in found[0].text


def test_a_shard_that_does_not_follow_is_seen(tmp_path: pathlib.Path) -> None:
    for differs in ({"owned": False}, {"phase": "error"}, {"error": "lost"}):
        found = list(claims.unsettled(world_of(Said(tmp_path, [], shards(**differs))), 0.0))
        assert [(each.check, each.key) for each in found] == [("unsettled", "/dubbo")]


def test_one_of_two_supervisors_is_enough(tmp_path: pathlib.Path) -> None:
    waiting = Said(tmp_path, [], shards(owned=False, phase="waiting"))
    owning = Said(tmp_path, [], shards())
    dead = Said(tmp_path, [], [])
    assert list(claims.unsettled(world_of(dead, waiting, owning), 0.0)) == []
    assert len(list(claims.unsettled(world_of(dead), 0.0))) == len(shards())
