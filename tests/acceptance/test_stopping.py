"""How a supervisor ends, by each way there is, and what it leaves behind: nothing."""

from __future__ import annotations

import os
import signal

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

pytestmark = pytest.mark.alone
STOP_TIMEOUT = 4.0


@pytest.fixture
def running(mirrors: conftest.Mirrors, prefix: str) -> installed.Supervisor:
    """Two prefixes on two workers, in order."""
    workers = {"stop_timeout": f"{STOP_TIMEOUT:g}s", "heartbeat_timeout": "60s"}
    return mirrors.following(prefix, "a", "b", workers=workers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_under_load_and_gives_the_shards_back(
    running: installed.Supervisor,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    prefix: str,
    number: signal.Signals,
) -> None:
    assert len(sides.owners(f"zk2etcd{prefix}")) == 2
    family = installed.family(running)
    with both_sides.Load(zookeeper.address, f"{prefix}/a", per_second=200) as load:
        polling.until(lambda: load.changes > 50)
        code, seconds = running.stop_with(number)
        left = sides.owners(f"zk2etcd{prefix}")
    assert code == 0
    assert seconds < STOP_TIMEOUT
    assert not left
    polling.until(lambda: installed.gone(family), 2.0, what="no process is left")
    assert running.events("stopping", signal=number.name)
    assert "Traceback" not in running.log.read_text("utf-8")


def test_a_second_signal_stops_at_once(
    running: installed.Supervisor,
) -> None:
    family = installed.family(running)
    frozen = running.worker_pids()["w0"]
    os.kill(frozen, signal.SIGSTOP)
    running.signal(signal.SIGTERM)
    polling.until(lambda: running.events("stopping"), what="it began to stop")
    code, seconds = running.stop_with(signal.SIGTERM)
    assert code == 130
    assert seconds < 1.5
    polling.until(lambda: installed.gone(family), 2.0, what="no process is left")


def test_a_worker_that_does_not_stop_is_killed_at_the_stop_timeout(
    running: installed.Supervisor,
) -> None:
    family = installed.family(running)
    frozen = running.worker_pids()["w0"]
    os.kill(frozen, signal.SIGSTOP)
    code, seconds = running.stop_with(signal.SIGTERM)
    assert code == 0
    assert STOP_TIMEOUT - 0.5 < seconds < STOP_TIMEOUT + 2
    assert running.events("killing worker", slot="w0", pid=frozen)
    polling.until(lambda: installed.gone(family), 2.0, what="no process is left")


def test_a_killed_supervisor_leaves_no_process_behind(running: installed.Supervisor) -> None:
    family = installed.family(running)
    assert len(family) >= 2
    os.kill(running.worker_pids()["w1"], signal.SIGSTOP)
    running.kill()
    polling.until(lambda: installed.gone(family), 2.0, what="no process is left")
