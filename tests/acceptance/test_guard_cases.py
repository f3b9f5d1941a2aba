"""What an operator sees of trouble that lasts: an etcd without room, a worker killed in the middle
of a base, and a trip that a standby takes over."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

GUARD = {"min_deletes": 5, "max_ratio": 0.3}


def test_an_etcd_without_room_is_not_ready(
    zookeeper: servers.ZooKeeper,
    small_etcd: servers.Etcd,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    sides = both_sides.Sides(zookeeper.address, small_etcd.address)
    supervisor = conftest.Mirrors(zookeeper, small_etcd, sides, supervise).following(
        prefix, nodes=3
    )
    assert supervisor.ask("/readyz")[0] == 200
    polling.until(sides.etcd.is_full, 20.0, what="a full etcd")
    sides.zk.create(f"{prefix}/meanwhile", b"1")
    polling.until(lambda: supervisor.ask("/readyz")[0] == 503, 15.0, what="503")
    code, said = supervisor.ask("/readyz?verbose")
    assert code == 503
    assert "space exceeded" in said
    assert supervisor.ask("/livez")[0] == 200
    sides.close()


def _killed_in_the_middle_of_a_walk(
    mirrors: conftest.Mirrors, sides: both_sides.Sides, prefix: str
) -> installed.Settings:
    """What a supervisor had, of which both processes died when 7 of 21 keys were missing and some
    of 400 new ones were put already."""
    supervisor = mirrors.following(prefix, sync={"delete_guard": GUARD})
    content = supervisor.content
    supervisor.stop()
    for number in range(7):
        sides.zk.delete(f"{prefix}/n{number}")
    for number in range(400):
        sides.zk.create(f"{prefix}/n10/new{number}", b"v")  # beside none of those that went
    slow = {"txn_ops": 8, "max_writes_per_second": 40}
    supervisor.configure(installed.laid_over(content, etcd=slow))
    supervisor.start()
    record = f"zk2etcd{prefix}/guards/{supervisor.shard_id(prefix)}"
    polling.until(lambda: len(sides.etcd.values(prefix)) > 60, 20.0, what="the middle of a base")
    walking = json.loads(sides.etcd.value(record) or b"{}")
    assert walking.get("walking"), walking
    assert walking["present"] == 21
    os.kill(supervisor.worker_pids()[supervisor.slot_of(prefix)], signal.SIGKILL)
    supervisor.kill()
    assert 60 < len(sides.etcd.values(prefix)) < 400
    return content


@pytest.mark.long
def test_the_count_before_a_walk_outlives_a_kill_in_the_middle_of_it(
    sides: both_sides.Sides, prefix: str, mirrors: conftest.Mirrors
) -> None:
    content = _killed_in_the_middle_of_a_walk(mirrors, sides, prefix)
    standby = mirrors.supervise(content)
    standby.start()
    polling.until(lambda: standby.shards()[prefix]["guard"], 30.0, what="a trip")
    guard = standby.shards()[prefix]["guard"]
    assert (guard["deletes"], guard["present"]) == (7, 21)
    assert all(sides.etcd.value(f"{prefix}/n{number}") is not None for number in range(7))

    # The trip goes on to a live standby, once, when its owner dies.
    heir = mirrors.supervise(content)
    heir.start()
    polling.until(lambda: heir.status()["state"] == "standby", what="it stands by")
    standby.kill()
    polling.until(lambda: heir.shards()[prefix]["guard"], 20.0, what="the trip taken over")
    assert heir.shards()[prefix]["guard"]["id"] == guard["id"]
    shard = heir.shard_id(prefix)
    done = installed.run("release", shard, "--url", heir.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert sides.equal(prefix)


@pytest.mark.long
def test_shards_of_one_session_that_are_all_behind_are_released_together(
    etcd: servers.Etcd,
    sandbox: servers.Sandbox,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    """The ensemble was wiped; one `release` without a shard says that it is the right one."""
    zookeeper = sandbox.zookeeper()
    zookeeper.start()
    sides = both_sides.Sides(zookeeper.address, etcd.address)
    roots = [f"{prefix}/a", f"{prefix}/b"]
    mirrors = conftest.Mirrors(zookeeper, etcd, sides, supervise)
    supervisor = mirrors.following(prefix, "a", "b", nodes=30, workers={"count": 1})
    before = {root: sides.etcd.values(root) for root in roots}
    sides.close()
    zookeeper.stop()
    zookeeper.wipe()
    zookeeper.start()
    polling.until(lambda: len(_guards(supervisor, "identity")) == 2, 60.0, what="both held")
    sides = both_sides.Sides(zookeeper.address, etcd.address)
    assert {root: sides.etcd.values(root) for root in roots} == before
    for root in roots:
        sides.seed(root, 2)
    done = installed.run("release", "--url", supervisor.url, "--yes")
    assert done.returncode == 0, done
    assert done.stdout.count(": released") == 2
    polling.until(lambda: len(_guards(supervisor, "deletes")) == 2, 30.0, what="the second look")
    assert all(sides.etcd.values(root).keys() == before[root].keys() for root in roots)
    done = installed.run("release", "--url", supervisor.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert all(sides.equal(root) for root in roots)
    sides.close()


def _guards(supervisor: installed.Supervisor, kind: str) -> list[str]:
    found = [shard["guard"] for shard in supervisor.shards().values() if shard["guard"]]
    return [guard["id"] for guard in found if guard["kind"] == kind]
