"""Which connections must leave: pure, over stand-ins for connections."""

from __future__ import annotations

import dataclasses
from typing import Any

from zk2etcd.admin import http_door


@dataclasses.dataclass(eq=False)
class Connection:
    """What the rules look at."""

    address: str = "10.0.0.1"
    began: float = 0.0
    busy: bool = False
    waiting: int = 0
    late: bool = False

    @property
    def addr(self) -> tuple[str, int]:
        return self.address, 1

    def overdue(self, _now: float) -> bool:
        return self.late


def crowding(found: list[Connection], count: int) -> list[Any]:
    return http_door.crowding(found, count)  # type: ignore[arg-type]


def test_room_leaves_what_we_need_ourselves() -> None:
    assert http_door.room(1024, 8) == http_door.MOST
    assert http_door.room(200, 8) < 200 - 8 * 5
    assert http_door.room(2**31, 2) == http_door.MOST
    assert 0 < http_door.room(32, 8) < 10
    assert http_door.room(128, 2) > 50
    assert http_door.room(128, 16) < http_door.room(128, 2)


def test_the_oldest_leaves() -> None:
    found = [Connection(began=at) for at in (3.0, 1.0, 2.0)]
    assert crowding(found, 1) == [found[1]]
    assert crowding(found, 0) == []
    assert crowding(found, -2) == []


def test_who_is_being_answered_leaves_last() -> None:
    answered, idle = Connection(began=1.0, busy=True), Connection(began=2.0)
    assert crowding([answered, idle], 1) == [idle]
    assert crowding([answered, idle], 2) == [idle, answered]


def test_a_crowd_at_one_address_makes_room_for_another() -> None:
    probe = Connection("10.0.0.9", began=0.0)
    crowd = [Connection(began=1.0 + number) for number in range(5)]
    assert crowding([probe, *crowd], 4) == crowd[:4]


def test_who_had_their_time_leaves() -> None:
    late, early = Connection(late=True), Connection()
    assert http_door.outworn([late, early], 0.0) == [late]  # type: ignore[list-item]


def test_who_holds_most_leaves_while_all_hold_too_much() -> None:
    found: list[Any] = [Connection(waiting=size) for size in (10, 50, 30)]
    assert http_door.outworn(found, 0.0, most_bytes=90) == []
    assert http_door.outworn(found, 0.0, most_bytes=40) == [found[1]]
    assert http_door.outworn(found, 0.0, most_bytes=39) == [found[1], found[2]]
