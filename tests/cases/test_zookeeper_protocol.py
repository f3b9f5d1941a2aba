"""Another ZooKeeper than yesterday's behind the same address, and one with other watches."""

from __future__ import annotations

import pytest

from tests import ensemble, polling, proxy, releases
from tests.acceptance import both_sides, conftest, installed
from tests.integration import observing
from zk2etcd.sandbox import servers

OPTIMIZED = "org.apache.zookeeper.server.watch.WatchManagerOptimized"
QUICK = {"session_timeout": "2s", "connect_timeout": "2s"}


def _swap(server: servers.ZooKeeper, class_path: str) -> None:
    """The same address and data, another release."""
    server.stop()
    server._class_path = class_path
    server.start()


def _spoken(supervisor: installed.Supervisor, root: str) -> str | None:
    shard = supervisor.shards().get(root, {})
    return shard.get("protocol") if shard.get("phase") == "following" else None


@pytest.mark.slow
@pytest.mark.long
def test_z4_a_release_put_back_and_forward_again_is_followed(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z4: 3.8 is put back to 3.4.13 on the same port and data while the mirror runs, and then the
    other way: each time it goes on, as that release is spoken to, without a restart."""
    root, old = "/z4", releases.class_path(releases.ZOOKEEPER_3_4)
    server = sandbox.zookeeper(durable=False)
    server.start()
    new = server._class_path
    sides = both_sides.Sides(server.address, etcd.address)
    sides.seed(root, 20)
    supervisor = supervise(installed.settings(server, etcd, [root], zookeeper=QUICK))
    supervisor.start()
    polling.until(lambda: _spoken(supervisor, root) == "bulk", 15, what="bulk")
    for release, protocol in ((old, "classic"), (new, "bulk")):
        _swap(server, release)
        polling.until(lambda: _spoken(supervisor, root) == protocol, 20, what=protocol)  # noqa: B023
        sides.zk.set(f"{root}/n1", protocol.encode())
        sides.zk.create(f"{root}/{protocol}", b"made")
        sides.wait_equal(root)
    sides.close()


@pytest.mark.slow
@pytest.mark.long
def test_z4_a_session_that_moves_between_releases_is_spoken_to_as_each_wants(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z4: one server of three is 3.4 still, or again: wherever the session goes, the mirror goes on
    as that server is spoken to."""
    root = "/z4-mixed"
    mixed = ensemble.Ensemble(sandbox, older=releases.class_path(releases.ZOOKEEPER_3_4))
    sides = both_sides.Sides(mixed.members[1].address, etcd.address)
    sides.seed(root, 20)
    with proxy.Proxy(mixed.members[0].address) as relay:
        settings = installed.settings(
            mixed.members[0], etcd, [root], zookeeper={**QUICK, "hosts": [relay.address]}
        )
        supervisor = supervise(settings)
        supervisor.start()
        for number, protocol in ((0, "classic"), (1, "bulk"), (0, "classic"), (2, "bulk")):
            relay.retarget(mixed.members[number].address)
            polling.until(lambda: _spoken(supervisor, root) == protocol, 20, what=protocol)  # noqa: B023
            sides.zk.set(f"{root}/n1", b"at %d" % number)
            sides.zk.create(f"{root}/made-", b"", sequence=True)
            sides.wait_equal(root)
        supervisor.stop()
    sides.close()
    mixed.close()


@pytest.mark.parametrize(
    "suite", [None, pytest.param(releases.ZOOKEEPER_3_9, marks=pytest.mark.long)]
)
def test_z5_other_watches_are_read_the_classic_way(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise, suite: str | None
) -> None:
    """Z5: a server whose watch manager knows no recursive watches: `auto` reads it the classic way
    and says why, in the log, in status and in `check`."""
    root = f"/z5-{suite or 'installed'}"
    server = _optimized(sandbox, suite)
    sides = both_sides.Sides(server.address, etcd.address)
    sides.seed(root, 20)
    supervisor = supervise(installed.settings(server, etcd, [root], zookeeper=QUICK))
    supervisor.start()
    polling.until(lambda: _spoken(supervisor, root) == "classic", 15, what="classic")
    sides.zk.set(f"{root}/n1", b"live")
    sides.zk.create(f"{root}/made", b"live")
    sides.zk.delete(f"{root}/n2")
    sides.wait_equal(root)
    assert "WatchManagerOptimized" in supervisor.shards()[root]["protocol_reason"]
    said = supervisor.events("ZooKeeper is read the classic way, slower")
    assert len(said) == 1
    assert "WatchManagerOptimized" in said[0]["reason"]
    checked = installed.run("check", "-c", str(supervisor.config))
    assert "read the classic way" in checked.stdout
    assert checked.returncode == 0, checked.stdout
    sides.close()


def test_z5_bulk_that_is_demanded_there_is_one_clear_error(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z5: with `protocol: bulk` it is not read at all, and the error names the remedy."""
    root = "/z5-bulk"
    server = _optimized(sandbox, None)
    zk = observing.connected(server.address)
    zk.create(root)
    zk.stop()
    zk.close()
    settings = installed.settings(server, etcd, [root], zookeeper={**QUICK, "protocol": "bulk"})
    supervisor = supervise(settings)
    supervisor.start()

    def error() -> str:
        return str(supervisor.shards().get(root, {}).get("error") or "")

    said = polling.until(error, 15, what="an error")
    assert "WatchManagerOptimized" in said
    assert "set zookeeper.protocol to auto or classic" in said
    assert "MarshallingError" not in said


def _optimized(sandbox: servers.Sandbox, suite: str | None) -> servers.ZooKeeper:
    server = sandbox.zookeeper(
        durable=False,
        class_path=releases.class_path(suite) if suite else None,
        jvm=(*servers.QUICK_JVM, f"-Dzookeeper.watchManagerName={OPTIMIZED}"),
    )
    server.start()
    return server
