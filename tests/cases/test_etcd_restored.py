"""etcd is put back to an earlier state of itself while the mirror runs, with its revision lifted.

`etcdutl snapshot restore --bump-revision --mark-compacted` is what etcd's own guide advises where
clients watch: no revision goes back, and every key keeps its mod_revision, owner keys too.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

import grpc
import pytest

from tests import etcd_cluster, polling, releases
from tests.acceptance import both_sides, installed
from tests.acceptance.conftest import Supervise
from zk2etcd.sandbox import servers

ROOT = "/restored"
WITHIN = 5.0
"""Seconds after etcd answers again (docs/guarantees.md, I4)."""


class Restorable(servers.Etcd):
    """A single 3.5 member whose snapshots can be restored."""

    def snapshot(self) -> pathlib.Path:
        path = self.folder / f"snapshot-{time.monotonic_ns()}"
        etcd_cluster.etcdctl(self.url, "snapshot", "save", str(path))
        return path

    def put_back(self, snapshot: pathlib.Path, *flags: str) -> None:
        """In place of the data; the process must be down."""
        self.wipe()
        subprocess.run(
            [
                *(str(releases.unpacked(releases.ETCD_3_5_30) / "usr/bin/etcdutl"),),
                *("snapshot", "restore", str(snapshot), "--data-dir", str(self.data), *flags),
            ],
            check=True,
            capture_output=True,
            timeout=60,
        )

    def same(self) -> tuple[str, ...]:
        """Flags of a restore by which it stays the same cluster."""
        peer = f"http://127.0.0.1:{self._peer_port}"
        cluster = ("--name", "sandbox", "--initial-cluster", f"sandbox={peer}")
        return (*cluster, "--initial-advertise-peer-urls", peer)


BUMPED = ("--bump-revision", "1000000", "--mark-compacted")


class World:
    """One mirror of `ROOT`, following, on a ZooKeeper and an etcd of the test's own."""

    def __init__(
        self,
        zookeeper: servers.ZooKeeper,
        etcd: Restorable,
        sides: both_sides.Sides,
        supervisor: installed.Supervisor,
    ) -> None:
        self.zookeeper = zookeeper
        self.etcd = etcd
        self.sides = sides
        self.supervisor = supervisor

    def changes(self, mark: bytes) -> None:
        """20 sets, 5 creates, 5 deletes, mirrored."""
        for number in range(20):
            self.sides.zk.set(f"{ROOT}/n{number}", mark)
        for number in range(5):
            self.sides.zk.create(f"{ROOT}/{mark.decode()}{number}", mark)
            self.sides.zk.delete(f"{ROOT}/n{number + 20}")
        self.sides.wait_equal(ROOT)

    def restored(
        self, snapshot: pathlib.Path, *flags: str, away: float = 0.0, killed: bool = False
    ) -> None:
        """:param killed: the workers end meanwhile."""
        down = time.monotonic()
        self.etcd.kill()
        for pid in self.supervisor.worker_pids().values() if killed else ():
            os.kill(pid, signal.SIGKILL)
        self.etcd.put_back(snapshot, *flags)
        polling.until(lambda: time.monotonic() - down >= away, away + 5)
        self.etcd.start()

    def heals(self, seconds: float = WITHIN) -> None:
        started = time.monotonic()
        self.sides.wait_equal(ROOT, timeout=seconds)
        assert time.monotonic() - started <= seconds
        self.supervisor.wait_following()


@pytest.fixture
def etcd_3_5(sandbox: servers.Sandbox) -> Restorable:
    binary = releases.etcd(releases.ETCD_3_5_30)
    made = sandbox.adopt(Restorable(sandbox.subfolder("etcd"), durable=False, binary=binary))
    made.start()
    return made


_opened = list[both_sides.Sides]()


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Clients of servers that are gone would knock, and say so, for as long as the tests run."""
    yield
    while _opened:
        _opened.pop().close()


def _following(
    zookeeper: servers.ZooKeeper,
    etcd: Restorable,
    supervise: Supervise,
    *,
    sync: installed.Document | None = None,
    **state: str,
) -> World:
    sides = both_sides.Sides(zookeeper.address, etcd.address)
    _opened.append(sides)
    sides.zk.delete(ROOT, recursive=True) if sides.zk.exists(ROOT) else None
    sides.seed(ROOT, 30)
    content = installed.settings(zookeeper, etcd, [ROOT], state=state, sync=sync or {})
    supervisor = supervise(content)
    supervisor.start()
    supervisor.wait_following()
    sides.wait_equal(ROOT)
    return World(zookeeper, etcd, sides, supervisor)


@pytest.mark.alone
@pytest.mark.parametrize("cluster", ["same", "new"])
def test_a_restore_with_its_revision_lifted_is_noticed_on_a_quiet_prefix(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise, cluster: str
) -> None:
    """E1: a snapshot, 30 changes mirrored, kill, restored with a bump, started; nothing more
    changes. Also where the restore makes it a cluster of a new id, as it does without flags."""
    world = _following(zookeeper, etcd_3_5, supervise)
    snapshot = etcd_3_5.snapshot()
    world.changes(b"later")
    world.restored(snapshot, *BUMPED, *(etcd_3_5.same() if cluster == "same" else ()))
    world.heals()


@pytest.mark.long
def test_a_restore_is_noticed_where_the_lease_outlives_it(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise
) -> None:
    """E1: the same with `lease_ttl: 60s` and 25 s away: nothing was in doubt meanwhile."""
    world = _following(zookeeper, etcd_3_5, supervise, lease_ttl="60s")
    snapshot = etcd_3_5.snapshot()
    world.changes(b"later")
    world.restored(snapshot, *BUMPED, *etcd_3_5.same(), away=25.0)
    world.heals()


@pytest.mark.alone
def test_a_change_right_after_the_restore_does_not_hide_it(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise
) -> None:
    """E1, kind: the first thing that etcd gets after the restore is a write of ours, whose
    checkpoint would stand above all that was acknowledged before."""
    world = _following(zookeeper, etcd_3_5, supervise, lease_ttl="60s")
    snapshot = etcd_3_5.snapshot()
    world.changes(b"later")
    etcd_3_5.kill()
    etcd_3_5.put_back(snapshot, *BUMPED, *etcd_3_5.same())
    etcd_3_5.start()
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        world.sides.zk.set(f"{ROOT}/n29", b"%f" % time.monotonic())
    world.heals()


@pytest.mark.alone
def test_a_restore_to_the_middle_of_what_one_zxid_covers_is_noticed(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise
) -> None:
    """E1, kind: what was lost had raised no checkpoint. A full sync wrote it, after somebody had
    changed keys by hand, and nothing had happened in ZooKeeper since the snapshot."""
    world = _following(zookeeper, etcd_3_5, supervise, lease_ttl="60s")
    keys = [f"{ROOT}/n{number}" for number in range(3)]
    for key in keys:
        etcd_cluster.etcdctl(etcd_3_5.url, "put", key, "by hand")
    snapshot = etcd_3_5.snapshot()
    world.supervisor.ask("/full-sync", {})
    world.sides.wait_equal(ROOT)
    world.restored(snapshot, *BUMPED, *etcd_3_5.same())
    world.heals()


@pytest.mark.parametrize(
    ("away", "lease_ttl", "killed"),
    [
        pytest.param(0.0, "60s", False, marks=pytest.mark.long),
        pytest.param(5.0, "5s", False, marks=pytest.mark.long),
        (0.0, "5s", True),
    ],
)
def test_a_pause_outlives_a_restore_from_before_it(
    zookeeper: servers.ZooKeeper,
    etcd_3_5: Restorable,
    supervise: Supervise,
    away: float,
    lease_ttl: str,
    *,
    killed: bool,
) -> None:
    """E1, kind: a shard is paused, etcd is put back to before that: it must not be mirrored. Also
    where etcd is away for so long that the shard is claimed again, which finds it out, and where
    the worker ends meanwhile, so that only its supervisor knows."""
    world = _following(zookeeper, etcd_3_5, supervise, lease_ttl=lease_ttl)
    snapshot = etcd_3_5.snapshot()
    shard = world.supervisor.shard_id(ROOT)
    done = installed.run("pause", "--url", world.supervisor.url, "--wait", shard)
    assert done.returncode == 0, done.stderr
    tokens = world.sides.owners(f"zk2etcd{ROOT}")
    world.restored(snapshot, *BUMPED, *etcd_3_5.same(), away=away, killed=killed)
    polling.until(
        lambda: (
            world.sides.owners(f"zk2etcd{ROOT}") not in (tokens, {})
            and world.supervisor.shards()[ROOT]["phase"] == "paused"
            and world.supervisor.shards()[ROOT]["owned"]
            and bool(world.sides.etcd.range(f"zk2etcd{ROOT}/pauses/".encode(), b"zk2etcd0"))
        ),
        15,
        what="paused, and in etcd again",
    )
    world.sides.zk.set(f"{ROOT}/n0", b"while paused")
    seen = time.monotonic()
    polling.until(lambda: time.monotonic() - seen > 3, 5)
    assert world.sides.etcd.values(ROOT)[f"{ROOT}/n0".encode()] != b"while paused"


def test_a_pause_outlives_a_restore_from_before_anybody_owned_the_shard(
    fresh_zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise
) -> None:
    """E1, kind: no owner key is there that could be older than ours, nothing was mirrored since
    (ZooKeeper is away), and etcd's revision is above all that was seen."""
    world = _following(fresh_zookeeper, etcd_3_5, supervise)
    world.supervisor.stop()
    snapshot = etcd_3_5.snapshot()
    fresh_zookeeper.stop()
    world.supervisor.start()
    polling.until(lambda: world.supervisor.shards()[ROOT]["owned"], 15, what="it is owned")
    shard = world.supervisor.shard_id(ROOT)
    done = installed.run("pause", "--url", world.supervisor.url, "--wait", shard)
    assert done.returncode == 0, done.stderr
    world.restored(snapshot, *BUMPED, *etcd_3_5.same())
    fresh_zookeeper.start()

    def is_paused_again() -> bool:
        pauses = world.sides.etcd.range(f"zk2etcd{ROOT}/pauses/".encode(), b"zk2etcd0")
        found = world.supervisor.shards()[ROOT]
        return bool(pauses and found["owned"]) and found["phase"] == "paused"

    polling.until(is_paused_again, 15, what="paused, and in etcd again")
    polling.until(lambda: world.sides.zk.connected, 20, what="our own client is back")
    world.sides.zk.retry(world.sides.zk.set, f"{ROOT}/n0", b"while paused")
    seen = time.monotonic()
    polling.until(lambda: time.monotonic() - seen > 1, 5)
    assert world.sides.etcd.values(ROOT)[f"{ROOT}/n0".encode()] != b"while paused"


@pytest.mark.parametrize("lease_ttl", ["5s", pytest.param("60s", marks=pytest.mark.long)])
def test_a_shard_that_was_given_up_since_can_be_taken(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise, lease_ttl: str
) -> None:
    """E1, kind: a worker gives a shard up, and etcd is put back to before that: its owner key is
    there again, on the lease that the worker keeps alive for another one."""
    world = _following(zookeeper, etcd_3_5, supervise, lease_ttl=lease_ttl)
    other = f"{ROOT}-other"
    world.sides.zk.ensure_path(other)
    both = installed.settings(zookeeper, etcd_3_5, [ROOT, other], workers={"count": 1})
    both = installed.laid_over(both, state=world.supervisor.content["state"])
    world.supervisor.configure(both)
    world.supervisor.reload()
    world.supervisor.wait_following()
    snapshot = etcd_3_5.snapshot()
    world.supervisor.configure(installed.laid_over(both, sync={"prefixes": [other]}))
    world.supervisor.reload()
    owners = f"zk2etcd{ROOT}"
    polling.until(lambda: len(world.sides.owners(owners)) == 1, what="one is given up")
    world.restored(snapshot, *BUMPED, *etcd_3_5.same())
    heir = supervise(installed.laid_over(both, sync={"prefixes": [ROOT]}))
    heir.start()
    polling.until(lambda: heir.shards()[ROOT]["owned"], WITHIN, what="taken by another supervisor")
    heir.wait_following()
    world.supervisor.wait_following()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_a_trip_outlives_a_restore_from_before_it(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise, *, killed: bool
) -> None:
    """E1, kind: deletes are held, then as many nodes come, and etcd is put back to before the trip:
    counted anew, they would be a rollout. Nobody has released them. Also where the worker that held
    them has ended by then: its supervisor knows."""
    world = _following(zookeeper, etcd_3_5, supervise)
    snapshot = etcd_3_5.snapshot()
    world.supervisor.stop()
    before = world.sides.etcd.values(ROOT)
    for number in range(30):
        world.sides.zk.delete(f"{ROOT}/n{number}")
    world.supervisor.start()
    guard = polling.until(lambda: world.supervisor.shards()[ROOT]["guard"], 20, what="a trip")
    for number in range(40):
        world.sides.zk.create(f"{ROOT}/new{number}", b"")
    polling.until(lambda: len(world.sides.etcd.values(ROOT)) == len(before) + 40, what="mirrored")
    world.restored(snapshot, *BUMPED, *etcd_3_5.same(), killed=killed)
    polling.until(
        lambda: len(world.sides.etcd.values(ROOT)) == len(before) + 40, 20, what="mirrored again"
    )
    again = polling.until(lambda: world.supervisor.shards()[ROOT]["guard"], 10, what="a trip")
    assert (again["id"], again["deletes"]) == (guard["id"], guard["deletes"])
    assert before.items() <= world.sides.etcd.values(ROOT).items()


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.parametrize("flags", [(), BUMPED], ids=["again", "bumped"])
def test_what_strangers_do_right_after_a_restore_is_put_right(
    zookeeper: servers.ZooKeeper, etcd_3_5: Restorable, supervise: Supervise, flags: Sequence[str]
) -> None:
    """E1, kind: with `sync.drift: watch` alone. Without a bump, revisions at which we wrote come a
    second time, and are a stranger's then."""
    watch = {"drift": "watch", "full_sync_interval": "0s"}
    world = _following(zookeeper, etcd_3_5, supervise, sync=watch)
    snapshot = etcd_3_5.snapshot()
    world.changes(b"later")
    world.restored(snapshot, *flags, *etcd_3_5.same())
    for number in range(30):
        key = f"{ROOT}/n{number % 20}"
        polling.until(lambda: _is_put(world, key), 10)  # noqa: B023
    world.heals()
    for number in range(5):
        world.sides.etcd.delete(f"{ROOT}/n{number}")
    world.heals(2 * WITHIN)


def _is_put(world: World, key: str) -> bool:
    with contextlib.suppress(grpc.RpcError):
        world.sides.etcd.put(key, b"theirs")
        return True
    return False
