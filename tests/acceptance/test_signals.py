"""SIGUSR1, SIGUSR2 and the schedule: what a running supervisor does without a stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed

INTERVAL = 2.0
SHARDS = ("a", "b", "c")


@pytest.fixture(scope="module")
def running(mirrors_module: conftest.Mirrors) -> installed.Supervisor:
    """Three shards on two workers, with no schedule."""
    sync = {"full_sync_interval": "0"}
    return mirrors_module.following("/signals", *SHARDS, nodes=50, sync=sync)


def test_sigusr1_asks_for_a_full_sync_of_every_shard(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    before = running.sequences()
    sides.etcd.put("/signals/a/n1", b"tampered with")
    sides.etcd.delete("/signals/b/n2")
    running.signal(signal.SIGUSR1)
    polling.until(
        lambda: all(now > before[source] for source, now in running.sequences().items()),
        what="a full sync of every shard",
    )
    assert sides.equal("/signals/a")
    assert sides.equal("/signals/b")
    assert running.shards()["/signals/a"]["last_full_sync"]["put"] == 1


def test_sigusr2_writes_the_stacks_of_every_process_to_stderr(
    running: installed.Supervisor,
) -> None:
    offset = running.log.stat().st_size
    pids = running.worker_pids()
    running.signal(signal.SIGUSR2)

    def text() -> str:
        with running.log.open("rb") as log:
            log.seek(offset)
            return log.read().decode("utf-8", "replace")

    def dumped() -> bool:
        own, *others = text().split("--- stacks of worker ")
        named = {other.partition("\n")[0] for other in others if "most recent call first" in other}
        wanted = {f"{slot} (pid {pid})" for slot, pid in pids.items()}
        return named == wanted and "supervisor.py" in own

    polling.until(dumped, what="stacks of all processes, under the names of the workers")
    assert "zk2etcd_workers" in text()
    assert running.worker_pids() == pids
    assert running.status()["state"] == "ready"


def test_the_schedule_compares_each_shard_in_turn(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    content = running.content
    content["sync"].update({"full_sync_interval": f"{INTERVAL:g}s", "full_sync_concurrency": 1})
    running.configure(content)
    running.reload()
    before = running.sequences()
    sides.etcd.put("/signals/c/n3", b"tampered with")
    started = time.monotonic()
    most = max(_running_until(running, {source: now + 2 for source, now in before.items()}))
    took = time.monotonic() - started
    assert most <= 1
    assert took < 3 * INTERVAL + 6
    sides.wait_equal("/signals/c")
    for source, shard in running.shards().items():
        assert shard["next_full_sync_at"] is not None, source


def _running_until(supervisor: installed.Supervisor, goal: dict[str, int]) -> Iterator[int]:
    """How many full syncs run at once, looked at again and again until all reached `goal`."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        shards = supervisor.shards()
        yield sum(shard["full_sync_running"] for shard in shards.values())
        done = {source: shard["last_full_sync"]["sequence"] for source, shard in shards.items()}
        if all(done[source] >= wanted for source, wanted in goal.items()):
            return
    raise AssertionError(f"full syncs did not come: {supervisor.sequences()}, wanted {goal}")
