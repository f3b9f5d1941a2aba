"""Who waits for whom."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests import polling
from zk2etcd.admin import http_lanes


class Request:
    def __init__(self, command: str, path: str) -> None:
        self.command, self.path = command, path
        self.error: Any = None
        self.headers: dict[str, str] = {}
        self.query = ""


class Connection:
    """One with a request, which takes until `gate` opens."""

    def __init__(
        self, gate: threading.Event, command: str = "GET", path: str = "/", address: str = "a"
    ) -> None:
        self.addr = (address, 1)
        self.requests = [Request(command, path)]
        self.began, self.done = threading.Event(), threading.Event()
        self._gate = gate

    @property
    def refused(self) -> bool:
        return self.requests[0].error is not None

    def service(self) -> None:
        self.began.set()
        if not self.refused:
            self._gate.wait(10.0)
        self.done.set()

    def cancel(self) -> None:
        self.done.set()


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture
def lanes(gate: threading.Event) -> Iterator[http_lanes.Lanes]:
    made = http_lanes.Lanes(100)
    yield made
    gate.set()
    made.shutdown()


def asked(lanes: http_lanes.Lanes, *found: Connection) -> tuple[Connection, ...]:
    for each in found:
        lanes.add_task(each)  # type: ignore[arg-type]
    return found


def begins(each: Connection) -> bool:
    return each.began.wait(5.0)


@pytest.mark.parametrize(("command", "path"), [("GET", "/"), ("POST", "/pause"), ("PUT", "/livez")])
def test_probes_wait_for_nobody(
    lanes: http_lanes.Lanes, gate: threading.Event, command: str, path: str
) -> None:
    crowd = asked(lanes, *(Connection(gate, command, path) for _ in range(60)))
    opened = threading.Event()
    opened.set()
    for probe in http_lanes.PROBES:
        (made,) = asked(lanes, Connection(opened, "GET", probe))
        assert begins(made)
        assert not made.refused
    assert any(each.refused for each in crowd)


def test_who_looks_does_not_wait_for_who_asks(
    lanes: http_lanes.Lanes, gate: threading.Event
) -> None:
    asked(lanes, *(Connection(gate, "POST", "/reload") for _ in range(10)))
    (looks,) = asked(lanes, Connection(gate, "GET", "/status"))
    assert begins(looks)
    assert not looks.refused


def test_a_crowd_of_one_address_is_refused_and_another_is_not(
    lanes: http_lanes.Lanes, gate: threading.Event
) -> None:
    first = asked(lanes, *(Connection(gate) for _ in range(3)))
    assert all(begins(each) for each in first)
    crowd = asked(lanes, *(Connection(gate) for _ in range(30)))
    assert [each.refused for each in crowd] == [False] * 16 + [True] * 14
    assert all(begins(each) for each in crowd if each.refused)
    (other,) = asked(lanes, Connection(gate, address="b"))
    assert not other.refused
    gate.set()
    polling.until(lambda: all(each.done.is_set() for each in (*first, *crowd, other)))


def test_a_place_is_free_again(lanes: http_lanes.Lanes, gate: threading.Event) -> None:
    gate.set()
    for _ in range(40):
        (each,) = asked(lanes, Connection(gate, "POST", "/pause"))
        assert each.done.wait(5.0)
        assert not each.refused


def test_a_refusal_is_an_answer() -> None:
    status, headers, body = http_lanes._Busy().to_response("zk2etcd")
    assert status.startswith("503 ")
    assert ("Content-Type", "application/json") in headers
    assert b"try again" in body


def test_what_is_handed_on_does_not_wait_for_those_who_wait_for_others(
    lanes: http_lanes.Lanes, gate: threading.Event
) -> None:
    """Two supervisors that ask each other at once would else wait until both give up."""
    crowd = [Connection(gate, "POST", "/pause", str(n)) for n in range(10)]
    asked(lanes, *crowd, *(Connection(gate, "GET", "/status") for _ in range(10)))
    for command, path in (("POST", "/pause"), ("GET", "/status")):
        handed_on = Connection(gate, command, path)
        handed_on.requests[0].headers["X_ZK2ETCD_FORWARDED"] = "host-1"
        asked(lanes, handed_on)
        assert begins(handed_on)
        assert not handed_on.refused


def test_who_looks_at_one_does_not_wait_for_who_looks_at_all(
    lanes: http_lanes.Lanes, gate: threading.Event
) -> None:
    all_of_them = [Connection(gate, "GET", "/status") for _ in range(10)]
    for each in all_of_them:
        each.requests[0].query = "all=1"
    asked(lanes, *all_of_them)
    (looks,) = asked(lanes, Connection(gate, "GET", "/status"))
    assert begins(looks)
