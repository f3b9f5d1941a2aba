"""The cut-over as an operator does it: pause, compare, and later resume, over a restart."""

from __future__ import annotations

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers


def test_paused_is_a_promise_that_outlives_the_process(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
    supervise: conftest.Supervise,
) -> None:
    root, other = "/paused", "/not-paused"
    sides.seed(root, 5)
    sides.seed(other, 2)
    supervisor = supervise(installed.settings(zookeeper, etcd, [root, other]))
    supervisor.start()
    supervisor.wait_following()
    shard, config = supervisor.shard_id(root), str(supervisor.config)

    done = installed.run("pause", "--url", supervisor.url, "--wait", shard)
    assert (done.returncode, done.stdout) == (0, f"{shard}: paused\n"), done.stderr
    for path in (f"{root}/n0", f"{other}/n0"):
        sides.zk.set(path, b"changed")
    polling.until(lambda: sides.etcd.value(f"{other}/n0") == b"changed")
    assert sides.etcd.value(f"{root}/n0") != b"changed"
    shown = installed.run("status", "--url", supervisor.url)
    assert shown.returncode == 0, shown.stdout
    assert f"zk2etcd resume {shard}" in shown.stdout
    assert supervisor.ask("/readyz")[0] == 200
    # Neither a repair through its owner, nor a full sync, gets past it.
    fix = installed.run("diff", "-c", config, "--fix", "--url", supervisor.url)
    assert fix.returncode == 1
    assert f"{shard} is paused since" in fix.stderr
    assert installed.run("full-sync", "--url", supervisor.url, shard).returncode == 1

    supervisor.stop()
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["phase"] == "paused")
    assert "@" in supervisor.shards()[root]["pause"]["by"]
    assert sides.etcd.value(f"{root}/n0") != b"changed"
    done = installed.run("resume", "--url", supervisor.url, "--yes", "--wait", shard)
    assert done.returncode == 0, done.stderr
    polling.until(lambda: sides.etcd.value(f"{root}/n0") == b"changed")
    assert installed.run("resume", "--url", supervisor.url, "--yes", shard).returncode == 1
    for path in (root, other):
        sides.zk.delete(path, recursive=True)
