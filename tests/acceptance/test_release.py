"""A tree that was halved while nobody looked: what an operator sees, and how it is released."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers


@pytest.fixture
def guarded(
    sides: both_sides.Sides, mirrors: conftest.Mirrors, request: pytest.FixtureRequest
) -> Iterator[installed.Supervisor]:
    """12 of 20 nodes went while it was stopped."""
    root = f"/halved-{len(request.node.name)}"
    limits = {"min_deletes": 5, "max_deletes": 10}
    supervisor = mirrors.following(root, sync={"delete_guard": limits})
    supervisor.stop()
    for number in range(12):
        sides.zk.delete(f"{root}/n{number}")
    supervisor.start()
    polling.until(lambda: trip(supervisor))
    yield supervisor
    sides.zk.delete(root, recursive=True)


def _root(supervisor: installed.Supervisor) -> str:
    return str(supervisor.content["sync"]["prefixes"][0])


def trip(supervisor: installed.Supervisor) -> str:
    guard = supervisor.shards()[_root(supervisor)]["guard"]
    return guard["id"] if guard else ""


def reason(supervisor: installed.Supervisor, root: str) -> str:
    return str(supervisor.shards()[root]["guard"]["reason"])


def test_a_trip_is_told_outlives_everything_and_is_released_by_command(
    guarded: installed.Supervisor, sides: both_sides.Sides
) -> None:
    root = _root(guarded)
    seen, shard = trip(guarded), guarded.shard_id(root)
    code, text = guarded.ask("/readyz?verbose")
    assert code == 503
    assert f"zk2etcd release {shard}" in text
    assert "max_deletes (10)" in text
    shown = installed.run("status", "--url", guarded.url)
    assert shown.returncode == 1
    assert f"zk2etcd release {shard}" in shown.stdout + shown.stderr
    assert "zk2etcd_delete_guard_trips_total 1.0" in guarded.ask("/metrics")[1]

    pid = guarded.worker_pids()[guarded.slot_of(root)]
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: _is_back(guarded, pid), 20.0)
    assert trip(guarded) == seen
    guarded.stop()
    guarded.start()
    polling.until(lambda: trip(guarded), 20.0)
    assert trip(guarded) == seen
    assert len(guarded.events("delete guard tripped: deletes are held")) == 1
    assert len(sides.etcd.values(root)) == 21

    code, text = guarded.ask(f"/shards/{shard}/release", {"trip": "another"})
    assert code == 409
    assert seen in text
    assert installed.run("release", "--url", guarded.url).returncode == 2, "nobody was asked"
    done = installed.run("release", shard, "--url", guarded.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert "12 of 21 keys would go" in done.stdout
    assert "12 deleted" in done.stdout
    assert sides.equal(root)
    assert guarded.ask("/readyz")[0] == 200
    assert guarded.events("delete guard released", deletes=12)
    again = installed.run("release", shard, "--url", guarded.url, "--yes")
    assert again.returncode == 2
    assert "holds nothing" in again.stderr


def test_a_release_by_post(guarded: installed.Supervisor, sides: both_sides.Sides) -> None:
    root = _root(guarded)
    shard = guarded.shard_id(root)
    code, text = guarded.ask(f"/shards/{shard}/release", {"trip": trip(guarded)})
    assert code == 202, text
    polling.until(lambda: sides.equal(root), 20.0)
    polling.until(guarded.following)


def _is_back(supervisor: installed.Supervisor, old: int) -> bool:
    pid = supervisor.worker_pids().get(supervisor.slot_of(_root(supervisor)))
    shard = supervisor.shards()[_root(supervisor)]
    return pid not in (None, old) and shard["phase"] == "guarded"


def test_another_root_is_told_and_mirrored_once_released(
    fresh_zookeeper: servers.ZooKeeper, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Created anew while nobody looked, as in an ensemble that was swapped for another: nothing
    stands beside it that would tell otherwise."""
    sides = both_sides.Sides(fresh_zookeeper.address, etcd.address)
    mirrors = conftest.Mirrors(fresh_zookeeper, etcd, sides, supervise)
    root = "/swapped"
    supervisor = mirrors.following(root, nodes=5)
    supervisor.stop()
    before = sides.etcd.values(root)
    sides.zk.delete(root, recursive=True)
    sides.seed(root, 3)
    sides.zk.set(root, b"another")
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["guard"])
    shard = supervisor.shard_id(root)
    code, text = supervisor.ask("/readyz?verbose")
    assert code == 503
    assert "identity" in text
    assert f"zk2etcd release {shard}" in text
    assert "zk2etcd_delete_guard_trips_total 1.0" in supervisor.ask("/metrics")[1]
    shown = installed.run("status", "--url", supervisor.url)
    assert shown.returncode == 1
    assert "nothing is written" in shown.stdout + shown.stderr
    fixed = installed.run("diff", "--fix", "-c", str(supervisor.config), "--rounds", "1")
    assert fixed.returncode == 1, fixed.stdout + fixed.stderr
    assert f"is held, nothing is written: {reason(supervisor, root)}" in fixed.stderr
    assert f"zk2etcd release {shard}" in fixed.stderr
    supervisor.stop()
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["guard"])
    assert len(supervisor.events("guard tripped: nothing is written")) == 1
    assert sides.etcd.values(root) == before

    # Two releases: the first could not show yet what would be deleted.
    for asked in ("nothing is written", "2 of 6 keys would go"):
        done = installed.run("release", shard, "--url", supervisor.url, "--yes", "--wait")
        assert asked in done.stdout, done
    assert done.returncode == 0, done
    assert sides.equal(root)
    sides.close()
