"""Signals that come before the supervisor listens to any."""

from __future__ import annotations

import pathlib
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import conftest, installed


@pytest.fixture
def loading(mirrors: conftest.Mirrors, prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor that is not done with loading what it needs."""
    supervisor = mirrors.made(prefix, nodes=2)
    # What the tests' own shell ignores, as under nohup, would be inherited.
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with supervisor.log.open("wb") as log:
        command = supervisor.command()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    signal.signal(signal.SIGHUP, before)
    try:
        # It is in the middle of its imports, which go on for some tenths of a second.
        polling.until(lambda: "pydantic_core" in _maps(process.pid), every=0.001)
        process.supervisor = supervisor  # type: ignore[attr-defined]
        yield process
    finally:
        process.kill()
        process.wait(10)


def _maps(pid: int) -> str:
    return pathlib.Path(f"/proc/{pid}/maps").read_text()


def _ready(supervisor: installed.Supervisor) -> bool:
    return supervisor.ready() and supervisor.following()


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_one_before_its_time_ends_nothing(loading: subprocess.Popen[bytes], name: str) -> None:
    """A8: SIGHUP, USR1 or USR2 in the first 0.3 s: ended by the signal."""
    loading.send_signal(signal.Signals[name])
    supervisor: installed.Supervisor = loading.supervisor  # type: ignore[attr-defined]
    polling.until(lambda: loading.poll() is not None or _ready(supervisor), 30)
    assert loading.poll() is None
    said = supervisor.log.read_text("utf-8", "replace")
    # Whose stacks SIGUSR2 would have shown was not there yet.
    obeyed = {"SIGHUP": "reloaded", "SIGUSR1": "full sync", "SIGUSR2": ""}
    assert obeyed[name] in said, said
    loading.send_signal(signal.SIGTERM)
    assert loading.wait(20) == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_one_that_stops_is_obeyed_as_ever(loading: subprocess.Popen[bytes], name: str) -> None:
    """A8: the same of those that stop: a clean end, and no worker."""
    loading.send_signal(signal.Signals[name])
    assert loading.wait(20) == 0
    supervisor: installed.Supervisor = loading.supervisor  # type: ignore[attr-defined]
    said = supervisor.log.read_text("utf-8", "replace")
    assert "Traceback" not in said
    assert "worker started" not in said


def test_a_second_one_does_not_wait(loading: subprocess.Popen[bytes]) -> None:
    """A8: twice, before its time: at once."""
    loading.send_signal(signal.SIGTERM)
    polling.until(lambda: _pending(loading.pid) == 0, every=0.001)
    loading.send_signal(signal.SIGTERM)
    assert loading.wait(10) in (0, 130)


def _pending(pid: int) -> int:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1], 16) for line in lines if line.startswith(("SigPnd", "ShdPnd")))
