"""Another etcd cluster answers at an endpoint than the one that is mirrored to."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator, Sequence

import pytest

from tests import etcd_cluster, polling
from tests.acceptance import both_sides, installed
from tests.acceptance.conftest import Mirrors, Supervise
from tests.integration import observing
from zk2etcd.sandbox import servers

ROOT = "/identity"
STATE = "zk2etcd/identity"
AWAY = 15.0


def _id(url: str) -> str:
    return f"{etcd_cluster.etcdctl(url, 'member', 'list', '-w', 'json')['header']['cluster_id']:x}"


def _stray(cluster: etcd_cluster.Cluster) -> etcd_cluster.Member:
    """The last member: removed, its data deleted, started as a cluster of its own."""
    stays, goes = cluster.members[0], cluster.members[-1]
    members = etcd_cluster.etcdctl(stays.url, "member", "list", "-w", "json")["members"]
    [number] = [each["ID"] for each in members if goes.url in each["clientURLs"]]
    # A moment after an election it refuses for the cluster's health.
    polling.until(lambda: _tried(stays.url, "member", "remove", f"{number:x}"), 15, every=0.5)
    goes.kill()
    goes.wipe()
    goes.number, goes.peers = 0, [goes.peer]
    goes.start()
    assert _id(goes.url) != _id(stays.url)
    return goes


def _tried(url: str, *words: str) -> bool:
    with contextlib.suppress(AssertionError):
        etcd_cluster.etcdctl(url, *words)
        return True
    return False


def _settings(
    zookeeper: servers.ZooKeeper, endpoints: Sequence[str], **etcd: str
) -> installed.Settings:
    content = installed.settings(zookeeper, servers_etcd(endpoints[0]), [ROOT])
    return installed.laid_over(
        content, etcd={"endpoints": list(endpoints), **etcd}, state={"prefix": STATE}
    )


class _At:
    def __init__(self, url: str) -> None:
        self.url = url
        self.address = url.partition("://")[2]


def servers_etcd(url: str) -> servers.Etcd:
    return _At(url)  # type: ignore[return-value]


def _nothing_in(url: str) -> bool:
    found = observing.Etcd(url.partition("://")[2])
    try:
        return not found.values(ROOT) and not found.range(STATE.encode(), STATE.encode() + b"0")
    finally:
        found.close()


@pytest.fixture
def cluster(sandbox: servers.Sandbox) -> etcd_cluster.Cluster:
    return etcd_cluster.Cluster(sandbox)


@pytest.fixture
def seeded(
    zookeeper: servers.ZooKeeper, cluster: etcd_cluster.Cluster
) -> Iterator[both_sides.Sides]:
    """The tree, and a client of a member that stays."""
    sides = both_sides.Sides(zookeeper.address, cluster.members[0].address)
    if sides.zk.exists(ROOT):
        sides.zk.delete(ROOT, recursive=True)
    sides.seed(ROOT, 20)
    yield sides
    sides.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "dies",
    [
        pytest.param("nobody", marks=pytest.mark.long),
        "the worker",
        pytest.param("the supervisor", marks=pytest.mark.long),
    ],
)
def test_a_stray_member_is_never_written_to(
    zookeeper: servers.ZooKeeper,
    cluster: etcd_cluster.Cluster,
    seeded: both_sides.Sides,
    supervise: Supervise,
    dies: str,
) -> None:
    """E2: three members; one removed, its data deleted, started as a cluster of its own at the old
    address; the other two stopped 15 s. Also where the worker is killed meanwhile, or the
    supervisor, and the next one has nothing to remember."""
    supervisor = supervise(_settings(zookeeper, cluster.urls))
    supervisor.start()
    supervisor.wait_following()
    stray = _stray(cluster)
    for member in cluster.members[:2]:
        member.freeze()
    frozen = time.monotonic()
    if dies == "the worker":
        os.kill(supervisor.status()["workers"][0]["pid"], signal.SIGKILL)
    if dies == "the supervisor":
        supervisor.kill()
        supervisor.start()
    polling.until(
        lambda: time.monotonic() - frozen > AWAY or not _nothing_in(stray.url), AWAY + 5, every=0.5
    )
    assert _nothing_in(stray.url)
    said = str(supervisor.shards()[ROOT]["error"])
    for member in cluster.members[:2]:
        member.thaw()
    assert _id(stray.url) in said, said
    seeded.zk.set(f"{ROOT}/n0", b"after")
    polling.until(lambda: _equal(seeded), 30, what="equal in the right cluster")
    assert _nothing_in(stray.url)
    right = [(url, _id(url)) for url in cluster.urls[:2]]
    polling.until(lambda: _in_use(supervisor) in right, 10, what="status names the member in use")


def _in_use(supervisor: installed.Supervisor) -> tuple[str, str]:
    etcd = supervisor.status()["workers"][0]["etcd"] or {}
    return etcd.get("endpoint", ""), etcd.get("cluster_id", "")


def _equal(sides: both_sides.Sides) -> bool:
    with contextlib.suppress(Exception):
        return sides.equal(ROOT)
    return False


def test_check_compares_all_endpoints(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    fresh_etcd: servers.Etcd,
    supervise: Supervise,
) -> None:
    """E2, `check` and a first start: the endpoints belong to two clusters; nothing is written to
    either, and both are named. With `etcd.cluster_id` it is the one that is named there."""
    urls = [fresh_etcd.url, etcd.url]
    supervisor = supervise(_settings(zookeeper, urls))
    checked = installed.run("check", "-c", str(supervisor.config))
    assert checked.returncode != 0
    assert all(_id(url) in checked.stdout and url in checked.stdout for url in urls)
    supervisor.start()
    polling.until(lambda: supervisor.shards()[ROOT]["error"], 20, what="it says so")
    said = supervisor.shards()[ROOT]["error"]
    assert all(_id(url) in said for url in urls), said
    assert all(_nothing_in(url) for url in urls)
    supervisor.stop()
    other = supervise(_settings(zookeeper, urls, cluster_id=_id(fresh_etcd.url)))
    other.start()
    polling.until(lambda: other.shards()[ROOT]["owned"], 20, what="owned")
    assert _nothing_in(etcd.url)
    assert not _nothing_in(fresh_etcd.url)


def test_an_id_that_is_no_endpoints_is_waited_for(mirrors: Mirrors, etcd: servers.Etcd) -> None:
    """E2, kind: `etcd.cluster_id` names a cluster that does not answer: nothing is written."""
    supervisor = mirrors.made("/identity-other", etcd={"cluster_id": "c0ffee"})
    supervisor.start()
    polling.until(lambda: supervisor.shards()["/identity-other"]["error"], 20, what="it says so")
    said = supervisor.shards()["/identity-other"]["error"]
    assert "c0ffee" in said
    assert _id(etcd.url) in said
    assert not mirrors.sides.etcd.range(b"zk2etcd/identity-other", b"zk2etcd/identity-other0")
    checked = installed.run("check", "-c", str(supervisor.config))
    assert checked.returncode != 0
    assert "c0ffee" in checked.stdout


def test_an_id_in_decimal_is_a_fault_that_says_it_in_hexadecimal(mirrors: Mirrors) -> None:
    """`etcdctl -w json` prints ids in decimal."""
    supervisor = mirrors.made("/identity-decimal", etcd={"cluster_id": "17243017125224393535"})
    checked = installed.run("check", "-c", str(supervisor.config))
    assert checked.returncode == 2
    assert "ef4b80b7ccfa2b3f" in checked.stderr


def test_another_process_at_the_same_address_gets_nothing(
    zookeeper: servers.ZooKeeper, sandbox: servers.Sandbox, supervise: Supervise
) -> None:
    """E2, kind: one endpoint, and in its place a cluster of another id, which holds nothing of
    ours. When the right one is back, all goes on."""
    right = etcd_cluster.Cluster(sandbox, 1).members[0]
    sides = both_sides.Sides(zookeeper.address, right.address)
    if sides.zk.exists(ROOT):
        sides.zk.delete(ROOT, recursive=True)
    sides.seed(ROOT, 20)
    supervisor = supervise(_settings(zookeeper, [right.url]))
    supervisor.start()
    supervisor.wait_following()
    home = _id(right.url)
    kept = right.folder / "kept"
    right.stop()
    right.data.rename(kept)
    right._arguments = ("--initial-cluster-token", "another")
    right.start()
    assert _id(right.url) != home
    sides.zk.set(f"{ROOT}/n0", b"meanwhile")
    polling.until(lambda: supervisor.shards()[ROOT]["error"], 20, what="it says so")
    assert _nothing_in(right.url)
    right.stop()
    shutil.rmtree(right.data)
    kept.rename(right.data)
    right.start()
    polling.until(lambda: _equal(sides), 20, what="equal")
    sides.close()
