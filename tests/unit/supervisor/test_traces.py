"""One trace id ties together what the supervisor says of a restart, a reload and a full sync, and
it goes with the messages, so that the worker can say the same."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.unit import fakes, settings
from zk2etcd import messages
from zk2etcd.config import models
from zk2etcd.logs import logger


@pytest.fixture(autouse=True)
def as_at_the_start() -> None:
    """Whatever other tests made of this process's log."""
    logger.setup("supervisor", models.Log(format="json", level="info"))


def said(capfd: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    """The log lines since the last look, by their event."""
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    return {line["event"]: line for line in lines}


def test_a_restart(capfd: pytest.CaptureFixture[str]) -> None:
    world = fakes.world("/a", workers=1)
    world.settle()
    (first,) = world.started
    assert said(capfd)["worker started"]["trace_id"] == first.spec.trace_id
    first.code = -9
    view = world.turn()
    lines, second = said(capfd), world.started[1]
    trace = lines["worker ended"]["trace_id"]
    assert trace not in ("", first.spec.trace_id)
    assert lines["worker started"]["trace_id"] == trace == second.spec.trace_id
    assert view.workers[0].trace_id == trace
    assert view.shards[0].report.error_trace_id == trace


def test_a_kill_and_the_restart_after_it(capfd: pytest.CaptureFixture[str]) -> None:
    world = fakes.world("/a", workers=1)
    world.settle()
    for _ in range(12):  # its worker says nothing
        world.turn(seconds=1.0)
    lines = said(capfd)
    ids = {lines[event]["trace_id"] for event in ("killing worker", "worker ended")}
    assert ids == {world.started[1].spec.trace_id}


def test_a_reload_and_what_the_workers_are_told(capfd: pytest.CaptureFixture[str]) -> None:
    world = fakes.world("/a", workers=1)
    assert world.settle().config.trace_id is None
    world.config = settings.alone(("/a", "/b"), workers={"count": 1})
    world.turn(signal.SIGHUP)
    view = world.turn()
    trace = said(capfd)["configuration reloaded"]["trace_id"]
    assert view.config.trace_id == trace
    assign = world.started[0].assign
    assert assign is not None
    assert assign.trace_id == trace
    world.refusal = "broken"
    view = world.turn(signal.SIGHUP)
    refused = said(capfd)["configuration kept: the new one is refused"]["trace_id"]
    assert view.config.trace_id == refused != trace


def test_a_worker_that_a_reload_makes_necessary(capfd: pytest.CaptureFixture[str]) -> None:
    world = fakes.world("/a", workers=2)
    world.settle()
    said(capfd)
    world.config = settings.alone(("/a", "/b"), workers={"count": 2})
    view = world.turn(signal.SIGHUP)
    lines = said(capfd)
    assert lines["worker started"]["cause"] == view.config.trace_id
    second = world.started[1]
    assert lines["worker started"]["trace_id"] == second.spec.trace_id != view.config.trace_id
    second.code = -9
    world.turn()
    assert "cause" not in said(capfd)["worker started"]


def test_a_full_sync(capfd: pytest.CaptureFixture[str]) -> None:
    world = fakes.world("/a", workers=1)
    world.settle()
    world.turn(signal.SIGUSR1)
    (order,) = world.started[0].sent(messages.FullSync)
    assert isinstance(order, messages.FullSync)
    assert said(capfd)["full sync due"]["trace_id"] == order.trace_id != ""
