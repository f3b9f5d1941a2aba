"""A tree that was halved while nobody looked: what an operator sees, and how it is released."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd import sandbox as sandboxes

ROOT = "/halved"


@pytest.fixture
def guarded(
    zookeeper: sandboxes.ZooKeeper,
    etcd: sandboxes.Etcd,
    sides: both_sides.Sides,
    supervise: conftest.Supervise,
) -> Iterator[installed.Supervisor]:
    """12 of 20 nodes went while it was stopped."""
    sides.seed(ROOT, 20)
    limits = {"min_deletes": 5, "max_deletes": 10}
    supervisor = supervise(
        installed.settings(zookeeper, etcd, [ROOT], sync={"delete_guard": limits})
    )
    supervisor.start()
    supervisor.wait_following()
    supervisor.stop()
    for number in range(12):
        sides.zk.delete(f"{ROOT}/n{number}")
    supervisor.start()
    polling.until(lambda: trip(supervisor))
    yield supervisor
    sides.zk.delete(ROOT, recursive=True)


def trip(supervisor: installed.Supervisor) -> str:
    guard = supervisor.shards()[ROOT]["guard"]
    return guard["id"] if guard else ""


def test_a_trip_is_told_outlives_everything_and_is_released_by_command(
    guarded: installed.Supervisor, sides: both_sides.Sides
) -> None:
    seen, shard = trip(guarded), guarded.shard_id(ROOT)
    code, text = guarded.ask("/readyz?verbose")
    assert code == 503
    assert f"zk2etcd release {shard}" in text
    assert "max_deletes (10)" in text
    shown = installed.run("status", "--url", guarded.url)
    assert shown.returncode == 1
    assert f"zk2etcd release {shard}" in shown.stdout + shown.stderr
    assert "zk2etcd_delete_guard_trips_total 1.0" in guarded.ask("/metrics")[1]

    pid = guarded.worker_pids()[guarded.slot_of(ROOT)]
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: _is_back(guarded, pid), 20.0)
    assert trip(guarded) == seen
    guarded.stop()
    guarded.start()
    polling.until(lambda: trip(guarded), 20.0)
    assert trip(guarded) == seen
    assert len(guarded.events("delete guard tripped: deletes are held")) == 1
    assert len(sides.etcd.values(ROOT)) == 21

    code, text = guarded.ask(f"/shards/{shard}/release", {"trip": "another"})
    assert code == 409
    assert seen in text
    assert installed.run("release", "--url", guarded.url).returncode == 2, "nobody was asked"
    done = installed.run("release", shard, "--url", guarded.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert "12 of 21 keys would go" in done.stdout
    assert "12 deleted" in done.stdout
    assert sides.equal(ROOT)
    assert guarded.ask("/readyz")[0] == 200
    assert guarded.events("delete guard released", deletes=12)
    again = installed.run("release", shard, "--url", guarded.url, "--yes")
    assert again.returncode == 2
    assert "holds nothing" in again.stderr


def test_a_release_by_post(guarded: installed.Supervisor, sides: both_sides.Sides) -> None:
    shard = guarded.shard_id(ROOT)
    code, text = guarded.ask(f"/shards/{shard}/release", {"trip": trip(guarded)})
    assert code == 202, text
    polling.until(lambda: sides.equal(ROOT), 20.0)
    polling.until(guarded.following)


def _is_back(supervisor: installed.Supervisor, old: int) -> bool:
    pid = supervisor.worker_pids().get(supervisor.slot_of(ROOT))
    shard = supervisor.shards()[ROOT]
    return pid not in (None, old) and shard["phase"] == "guarded"
