"""The supervisor as a process with real children and real signals; the servers are left out."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from tests import polling

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONFIG = """
sync: {prefixes: [/a, /b]}
workers: {count: 2, stop_timeout: %s, heartbeat_timeout: 1s}
log: {format: json}
cluster: {mode: standby}
"""


class Running:
    """The supervisor, its last view, and its standard error."""

    def __init__(self, folder: pathlib.Path, target: str, config: str, flags: tuple[str, ...]):
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        self._stderr = (folder / "stderr").open("wb")
        self.view: dict[str, Any] = {"state": None, "workers": {}, "shards": {}, "error": None}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.supervised", target, str(self.config), *flags],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        self.seen: list[psutil.Process] = []

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.view = json.loads(line)

    def stderr(self) -> str:
        return pathlib.Path(self._stderr.name).read_text()

    def pids(self) -> dict[str, int]:
        return {slot: pid for slot, (pid, _, _) in self.view["workers"].items() if pid}

    def ready(self) -> bool:
        return bool(self.view["state"] == "ready")

    def wait_ready(self) -> dict[str, int]:
        polling.until(self.ready, 20, what="ready")
        self.seen = psutil.Process(self.process.pid).children(recursive=True)
        return self.pids()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float) -> int:
        return self.process.wait(timeout)

    def children_left(self) -> list[psutil.Process]:
        return [child for child in self.seen if child.is_running()]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._stderr.close()
        for child in self.children_left():
            child.kill()


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: pathlib.Path) -> Iterator[Start]:
    with contextlib.ExitStack() as closing:

        def started(target: str, *flags: str, stop_timeout: str = "5s") -> Running:
            one = Running(tmp_path, f"tests.targets.{target}", CONFIG % stop_timeout, flags)
            closing.callback(one.close)
            return one

        yield started


def test_sigterm_drains_and_exits_0(start: Start) -> None:
    running = start("obedient")
    running.wait_ready()
    running.signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert polling.until(lambda: not running.children_left())
    assert '"status":"exit status 0"' in running.stderr()


def test_ctrl_c_of_the_whole_group_drains_as_well(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    for pid in (*pids.values(), running.process.pid):
        os.kill(pid, signal.SIGINT)
    assert running.wait(60) == 0
    assert '"status":"signal' not in running.stderr()


def test_a_worker_that_does_not_drain_is_killed_at_the_deadline(start: Start) -> None:
    running = start("stubborn", stop_timeout="1s")
    running.wait_ready()
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert time.monotonic() - began >= 0.9
    assert "it did not stop in time" in running.stderr()


def test_a_second_sigterm_ends_it_at_once(start: Start) -> None:
    running = start("stubborn", stop_timeout="60s")
    running.wait_ready()
    running.signal(signal.SIGTERM)
    polling.until(lambda: running.view["state"] == "stopping")
    began = time.monotonic()
    running.signal(signal.SIGTERM)
    assert running.wait(60) == 130
    assert time.monotonic() - began < 20


def test_a_crashed_worker_is_back_soon_and_the_other_is_not_touched(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    os.kill(pids["w0"], signal.SIGKILL)
    polling.until(lambda: running.pids().get("w0", pids["w0"]) != pids["w0"], 10)
    polling.until(running.ready, 10)
    assert running.pids()["w1"] == pids["w1"]
    assert running.view["workers"]["w0"][2] == 1


def test_a_stopped_worker_is_killed_and_replaced(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    os.kill(pids["w1"], signal.SIGSTOP)
    polling.until(lambda: running.pids().get("w1", pids["w1"]) != pids["w1"], 6)
    polling.until(running.ready, 5)
    assert "its loop did not turn" in running.stderr()
    assert running.pids()["w0"] == pids["w0"]


def test_a_stopped_worker_does_not_hold_up_the_end(start: Start) -> None:
    running = start("obedient", stop_timeout="1s")
    pids = running.wait_ready()
    os.kill(pids["w0"], signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    assert running.wait(60) == 0
    assert polling.until(lambda: not running.children_left())


def test_a_killed_supervisor_leaves_no_child_a_stopped_one_included(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    os.kill(pids["w0"], signal.SIGSTOP)
    running.signal(signal.SIGKILL)
    running.wait(60)
    assert len(running.seen) >= 2
    polling.until(lambda: not running.children_left(), what="no child left")


def test_sighup_adds_and_removes_and_refuses(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    good = running.config.read_text()
    running.config.write_text(good.replace("[/a, /b]", "[/a, /b, /c]"))
    running.signal(signal.SIGHUP)
    polling.until(lambda: len(running.view["shards"]) == 3 and running.ready())
    assert running.pids() == pids
    running.config.write_text("sync: [")
    running.signal(signal.SIGHUP)
    polling.until(lambda: running.view["error"])
    assert len(running.view["shards"]) == 3
    running.config.write_text(good)
    running.signal(signal.SIGHUP)
    polling.until(lambda: len(running.view["shards"]) == 2 and not running.view["error"])


def test_a_watched_file_is_reloaded_without_a_signal(start: Start) -> None:
    running = start("obedient")
    running.wait_ready()
    watched = running.config.read_text() + "reload: {watch: 100ms}\n"
    running.config.write_text(watched)
    running.signal(signal.SIGHUP)
    polling.until(lambda: "reload.watch" in running.stderr())
    swapped = running.config.with_name("new.yaml")
    swapped.write_text(watched.replace("[/a, /b]", "[/a, /b, /c]"))
    swapped.replace(running.config)
    polling.until(lambda: "/c" in running.view["shards"])


def test_more_workers_take_shards_over_one_at_a_time(start: Start) -> None:
    running = start("obedient")
    running.wait_ready()
    good = running.config.read_text()
    running.config.write_text(good.replace("count: 2", "count: 1"))
    running.signal(signal.SIGHUP)
    polling.until(lambda: len(running.pids()) == 1 and running.ready())
    running.config.write_text(good)
    running.signal(signal.SIGHUP)
    polling.until(lambda: len(running.pids()) == 2 and running.ready())
    assert sorted(slot for slot, _ in running.view["shards"].values()) == ["w0", "w1"]


def test_sigusr2_writes_the_stacks_of_every_process(start: Start) -> None:
    running = start("obedient")
    pids = running.wait_ready()
    running.signal(signal.SIGUSR2)
    for slot, pid in pids.items():
        polling.until(lambda s=slot, p=pid: f"worker {s} (pid {p})" in running.stderr())  # type: ignore[misc]
    polling.until(lambda: running.stderr().count("in obedient") == 2)
    assert "in _mirror" in running.stderr()


def test_a_crash_loop_backs_off_and_stays_up(start: Start) -> None:
    running = start("crashing")
    polling.until(
        lambda: [state for _, state, _ in running.view["workers"].values()] == ["backoff"] * 2, 15
    )
    assert running.view["state"] == "degraded"
    running.signal(signal.SIGTERM)
    assert running.wait(60) == 0


def test_once_exits_0_when_all_is_done(start: Start) -> None:
    running = start("obedient", "once")
    assert running.wait(60) == 0


def test_once_that_is_interrupted_is_130(start: Start) -> None:
    running = start("silent", "once")
    polling.until(running.pids, 10)
    running.signal(signal.SIGINT)
    polling.until(lambda: running.view["state"] == "stopping")
    running.signal(signal.SIGINT)
    assert running.wait(60) == 130


def test_once_gives_up_on_a_worker_that_keeps_ending(start: Start) -> None:
    running = start("crashing", "once")
    assert running.wait(90) == 70
    assert "ended 5 times without finishing" in running.stderr()
