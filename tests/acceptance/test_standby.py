"""Two supervisors of one configuration: one mirrors, the other stands by and takes over."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

LEASE_SECONDS = 3.0
LONG_LEASE_SECONDS = 20.0
AT_ONCE = 10.0


@pytest.fixture
def lease_seconds() -> float:
    return LEASE_SECONDS


@pytest.fixture
def pair(
    mirrors: conftest.Mirrors, prefix: str, lease_seconds: float
) -> tuple[installed.Supervisor, installed.Supervisor]:
    """The first owns both shards, the second stands by."""
    state = {"lease_ttl": f"{lease_seconds:g}s"}
    first = mirrors.following(prefix, "a", "b", state=state, cluster={"mode": "standby"})
    second = mirrors.supervise(first.content)
    second.start()
    polling.until(lambda: second.status()["state"] == "standby", what="it stands by")
    return first, second


def _taken_over(supervisor: installed.Supervisor) -> bool:
    status = supervisor.status()
    return status["state"] == "ready" and all(
        shard["owned"] and shard["phase"] == "following" for shard in status["shards"]
    )


def _assert_stands_by(supervisor: installed.Supervisor, holder: str) -> None:
    for shard in supervisor.shards().values():
        assert shard["phase"] == "waiting"
        assert not shard["owned"]
        assert holder in shard["holder"]
        assert shard["error"] is None
    assert supervisor.ask("/readyz")[0] == 200
    told = installed.run("status", "--url", supervisor.url)
    assert told.returncode == 0
    assert "STANDBY" in told.stdout
    asked = installed.run("status", "--json", "--url", supervisor.url)
    assert holder in json.loads(asked.stdout)["shards"][0]["holder"]


@pytest.mark.parametrize("lease_seconds", [LONG_LEASE_SECONDS])
def test_the_second_takes_over_at_once_when_the_first_stops(
    pair: tuple[installed.Supervisor, installed.Supervisor],
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    first, second = pair
    _assert_stands_by(second, first.status()["instance"])
    with both_sides.Load(zookeeper.address, f"{prefix}/a"):
        code, _ = first.stop_with(signal.SIGTERM)
        stopped_at = time.monotonic()
        polling.until(lambda: _taken_over(second), what="the second took over")
        assert time.monotonic() - stopped_at < AT_ONCE
    assert code == 0
    sides.wait_equal(f"{prefix}/a", f"{prefix}/b")
    first.start()
    polling.until(lambda: first.status()["state"] == "standby", what="the first stands by")
    _assert_stands_by(first, second.status()["instance"])


@pytest.mark.alone
def test_the_second_takes_over_when_the_first_is_killed(
    pair: tuple[installed.Supervisor, installed.Supervisor],
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    first, second = pair
    instance = second.status()["instance"]
    with both_sides.Load(zookeeper.address, f"{prefix}/b"):
        first.kill()
        killed_at = time.monotonic()
        polling.until(lambda: _taken_over(second), LEASE_SECONDS + 8, what="the second took over")
        assert time.monotonic() - killed_at < LEASE_SECONDS + 5
    sides.wait_equal(f"{prefix}/a", f"{prefix}/b")
    owners = sides.owners(f"zk2etcd{prefix}")
    assert len(owners) == 2
    assert all(json.loads(owner.value)["instance"] == instance for owner in owners.values())


@pytest.mark.long
def test_diff_with_the_file_of_the_standby_has_the_owner_repair(
    pair: tuple[installed.Supervisor, installed.Supervisor],
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    """The standby's file names its own address, but the repair is the owner's."""
    first, second = pair
    sides.etcd.put(f"{prefix}/a/n1", b"tampered with")
    fixed = installed.run(
        *("diff", "--fix", "-c", str(second.config), "--rounds", "1", "--round-interval", "50ms")
    )
    assert fixed.returncode == 0, fixed.stdout + fixed.stderr
    assert sides.equal(f"{prefix}/a")
    assert first.shards()[f"{prefix}/a"]["last_full_sync"]["put"] == 1
    assert second.status()["state"] == "standby"


def _members(sides: both_sides.Sides, prefix: str) -> dict[str, bytes]:
    start = f"zk2etcd{prefix}/members/".encode()
    found = sides.etcd.range(start, start[:-1] + b"0")
    return {key[len(start) :].decode(): each.value for key, each in found.items()}


def test_both_are_members_and_check_shows_which_stands_by(
    pair: tuple[installed.Supervisor, installed.Supervisor],
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    first, second = pair
    one, other = (each.status()["instance"] for each in pair)
    polling.until(lambda: _members(sides, prefix).keys() == {one, other}, what="two members")
    assert json.loads(_members(sides, prefix)[other])["admin"] == second.url
    told = installed.run("check", "-c", str(second.config))
    assert f"supervisor {one} ({first.url}) writes" in told.stdout
    assert f"supervisor {other} ({second.url}) stands by" in told.stdout

    # Whichever worker holds it: another puts it back when its lease is over.
    for pid in second.worker_pids().values():
        os.kill(pid, signal.SIGKILL)
    polling.until(
        lambda: (
            all(pid > 0 for pid in second.worker_pids().values())
            and second.status()["state"] == "standby"
        ),
        20.0,
        what="it stands by again",
    )
    until = time.monotonic() + LEASE_SECONDS + 2
    polling.until(
        lambda: time.monotonic() > until and other in _members(sides, prefix),
        LEASE_SECONDS + 8,
        what="a member that outlives the lease of the killed workers",
    )
    second.stop()
    polling.until(lambda: _members(sides, prefix).keys() == {one}, what="it left")
    first.kill()
    polling.until(lambda: not _members(sides, prefix), LEASE_SECONDS + 8, what="its lease ended")
