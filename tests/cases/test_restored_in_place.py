"""A ZooKeeper that is put back to a snapshot while it runs, under our live session: what the admin
server of 3.9 does for a POST to /commands/restore. All watches die with the old tree, and nobody is
told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import pytest

from tests import polling, releases, zookeeper_admin
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

SECONDS = 5.0


@dataclasses.dataclass(frozen=True)
class Restorable:
    """ZooKeeper 3.9 and its admin server."""

    server: servers.ZooKeeper
    admin: zookeeper_admin.Admin

    def snapshot(self) -> bytes:
        return self.admin.snapshot()

    def restore(self, snapshot: bytes) -> None:
        self.admin.restore(snapshot)


@pytest.fixture
def restorable(sandbox: servers.Sandbox) -> Restorable:
    admin = zookeeper_admin.Admin()
    server = sandbox.zookeeper(
        durable=False,
        class_path=releases.class_path(releases.ZOOKEEPER_3_9),
        jvm=admin.jvm(),
        settings=admin.settings(),
    )
    server.start()
    return Restorable(server, admin)


@pytest.fixture
def own(restorable: Restorable, fresh_etcd: servers.Etcd) -> Iterator[both_sides.Sides]:
    opened = both_sides.Sides(restorable.server.address, fresh_etcd.address)
    yield opened
    opened.close()


@pytest.fixture
def supervisor(
    supervise: conftest.Supervise,
    restorable: Restorable,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
) -> installed.Supervisor:
    """It follows /a, with a session time-out that outlasts the test."""
    own.seed("/a", 20)
    content = installed.settings(
        restorable.server,
        fresh_etcd,
        ["/a"],
        zookeeper={"hosts": [restorable.server.address], "session_timeout": "40s"},
        workers={"count": 1},
    )
    made = supervise(content)
    made.start()
    made.wait_following()
    own.wait_equal("/a")
    return made


def _said(supervisor: installed.Supervisor) -> int:
    """How often the log warned of it."""
    warnings = supervisor.events(level="warning")
    told = (str(entry.get("reason") or entry.get("error")) for entry in warnings)
    return sum("restored, it seems" in why or "was put back" in why for why in told)


@pytest.mark.slow
def test_a_restore_under_a_live_session_is_noticed_each_time(
    restorable: Restorable, fresh_etcd: servers.Etcd, supervisor: installed.Supervisor
) -> None:
    """Z2: snapshot, restore in place, a set: equal within seconds, said in the log and by `status`;
    and so the second time, when the session is one of the snapshot's."""
    for number in range(2):
        restorable.restore(restorable.snapshot())
        writer = both_sides.Sides(restorable.server.address, fresh_etcd.address)
        try:
            writer.zk.set("/a/n7", b"after restore %d" % number)
            writer.zk.create(f"/a/new{number}", b"made")
            writer.wait_equal("/a", timeout=SECONDS)
            polling.until(lambda: supervisor.shards()["/a"]["started_over"], what="in status")
        finally:
            writer.close()
        polling.until(
            lambda seen=number: _said(supervisor) > seen,  # type: ignore[misc]
            SECONDS,
            what="said",
        )
        supervisor.wait_following()
    assert supervisor.shards()["/a"]["guard"] is None


def test_a_restore_that_takes_back_what_was_mirrored_is_held(
    restorable: Restorable, own: both_sides.Sides, supervisor: installed.Supervisor
) -> None:
    """Z2, the kind: what was mirrored since the snapshot is gone from ZooKeeper: its answers go
    back below earlier ones, which is said at once; nothing older is written until a person says
    that it is right."""
    snapshot = restorable.snapshot()
    for number in range(5):
        own.zk.set("/a/n1", b"newer %d" % number)
    own.zk.create("/a/late", b"1")
    own.zk.delete("/a/n2")
    own.wait_equal("/a")
    before = own.etcd.values("/a")
    restorable.restore(snapshot)
    polling.until(lambda: _said(supervisor), SECONDS, what="said")
    last = polling.until(lambda: supervisor.shards()["/a"].get("started_over"), what="in status")
    assert last is not None
    assert "went back from zxid" in last["reason"]
    guard = polling.until(lambda: supervisor.shards()["/a"]["guard"], 30.0, what="a trip")
    assert guard["kind"] == "identity", guard
    assert own.etcd.values("/a") == before
    _release(supervisor)
    own.wait_equal("/a", timeout=20.0)
    supervisor.wait_following()


@pytest.mark.slow
@pytest.mark.long
def test_what_a_restart_brings_back_after_a_restore_is_held(
    restorable: Restorable,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
    supervisor: installed.Supervisor,
) -> None:
    """Z2, the kind: 3.9 restores in memory only, and its next start replays what was lost: for
    whoever has seen it go, that is one more restore."""
    own.zk.create("/a/late", b"1")
    snapshot = restorable.snapshot()
    own.zk.create("/a/lost", b"1")
    own.wait_equal("/a")
    restorable.restore(snapshot)
    polling.until(lambda: supervisor.shards()["/a"]["guard"], 30.0, what="a trip")
    _release(supervisor)
    writer = both_sides.Sides(restorable.server.address, fresh_etcd.address)
    try:
        writer.zk.create("/a/later", b"1")
        writer.wait_equal("/a", timeout=20.0)
        assert own.etcd.value("/a/lost") is None
        restorable.server.kill()
        restorable.server.start()
        guard = polling.until(lambda: supervisor.shards()["/a"]["guard"], 30.0, what="a trip")
        assert guard["kind"] == "identity", guard
        assert own.etcd.value("/a/lost") is None
        _release(supervisor)
        writer.zk.retry(writer.zk.exists, "/a")
        writer.wait_equal("/a", timeout=20.0)
        assert own.etcd.value("/a/lost") == b"1"
    finally:
        writer.close()


def _release(supervisor: installed.Supervisor) -> None:
    """The identity, and then the deletes that it would come with."""
    for _ in range(2):
        done = installed.run("release", supervisor.shard_id("/a"), "--url", supervisor.url, "--yes")
        assert done.returncode == 0, done
        polling.until(_is_free_or_shows_deletes(supervisor), 20.0, what="what the release led to")
        if supervisor.shards()["/a"]["guard"] is None:
            return


def _is_free_or_shows_deletes(supervisor: installed.Supervisor) -> Callable[[], bool]:
    def looks() -> bool:
        shard = supervisor.shards()["/a"]
        return shard["phase"] == "following" or (shard["guard"] or {}).get("kind") == "deletes"

    return looks
