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
