"""Servers that do not let everything through: four-letter words, connections, requests."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests import polling, proxy
from tests.acceptance import both_sides, conftest, installed
from tests.integration import observing
from zk2etcd.sandbox import servers

QUICK = {"session_timeout": "2s", "connect_timeout": "2s"}


def _error(supervisor: installed.Supervisor, root: str, part: str, seconds: float = 15) -> str:
    """The shard's error, once it says `part`."""

    def said() -> str:
        error = str(supervisor.shards().get(root, {}).get("error") or "")
        return error if part in error else ""

    return polling.until(said, seconds, what=f"an error: {part}")


@pytest.mark.parametrize(
    "words", [proxy.Words.RESET, pytest.param(proxy.Words.CLOSE, marks=pytest.mark.long)]
)
def test_z9_a_mirror_starts_where_words_do_not_get_through(
    mirrors: conftest.Mirrors, words: proxy.Words
) -> None:
    """Z9: what stands before the server closes, or resets, four-letter words, and lets sessions
    pass: the mirror starts, in bulk, and `check` has nothing against it."""
    root = f"/z9-{words.name.lower()}"
    with proxy.Proxy(mirrors.zookeeper.address, words=words) as relay:
        supervisor = mirrors.made(root, zookeeper={**QUICK, "hosts": [relay.address]})
        supervisor.start()
        supervisor.wait_following()
        assert supervisor.shards()[root]["protocol"] == "bulk"
        mirrors.sides.zk.set(f"{root}/n1", b"live")
        mirrors.sides.wait_equal(root)
        checked = installed.run("check", "-c", str(supervisor.config))
        assert checked.returncode == 0, checked.stdout
        supervisor.stop()


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("words", [proxy.Words.CLOSE])
def test_z9_a_wiped_server_is_known_where_words_do_not_get_through(
    fresh_zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    supervise: conftest.Supervise,
    words: proxy.Words,
) -> None:
    """Z9: wiped behind such a relay, the ensemble is held as another one, nothing is deleted, and
    a person can release it."""
    root, server = f"/z9-wiped-{words.name.lower()}", fresh_zookeeper
    sides = both_sides.Sides(server.address, etcd.address)
    sides.seed(root, 60)
    with proxy.Proxy(server.address, words=words) as relay:
        settings = installed.settings(
            server, etcd, [root], zookeeper={**QUICK, "hosts": [relay.address]}
        )
        supervisor = supervise(settings)
        supervisor.start()
        supervisor.wait_following()
        before = sides.etcd.values(root)
        sides.close()
        server.stop()
        server.wipe()
        server.start()
        polling.until(
            lambda: supervisor.shards().get(root, {}).get("phase") == "guarded", 45, what="held"
        )
        guard = supervisor.shards()[root]["guard"]
        assert guard["kind"] == "identity"
        assert "behind" in guard["reason"]
        sides = both_sides.Sides(server.address, etcd.address)
        assert sides.etcd.values(root) == before
        sides.seed(root, 60)
        done = installed.run("release", "--url", supervisor.url, "--yes", timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        supervisor.wait_following(20)
        sides.wait_equal(root)
        supervisor.stop()
        sides.close()


# --- connections ---------------------------------------------------------------------------------


def _limited(sandbox: servers.Sandbox, connections: int, *lines: str) -> servers.ZooKeeper:
    """A server that takes so many connections from one address."""
    server = sandbox.zookeeper(durable=False, settings=[f"maxClientCnxns={connections}", *lines])
    server.start()
    return server


NETTY = "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory"


@pytest.mark.parametrize(
    "lines",
    [pytest.param((), id="nio"), pytest.param((NETTY,), marks=pytest.mark.long, id="netty")],
)
def test_z13_one_connection_a_worker_is_enough(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise, lines: Any
) -> None:
    """Z13: maxClientCnxns=1: the mirror starts and goes on with one connection, also after that
    has broken; `check`, which finds no second one, says what is the matter."""
    root = "/z13-one" + "-netty" * bool(lines)
    server = _limited(sandbox, 1, *lines)
    zk = observing.connected(server.address)
    observing.seed(zk, [(root, b""), *((f"{root}/n{number}", b"v") for number in range(20))])
    zk.stop()
    zk.close()
    with proxy.Proxy(server.address) as relay:
        settings = installed.settings(
            server, etcd, [root], zookeeper={**QUICK, "hosts": [relay.address]}
        )
        supervisor = supervise(settings)
        supervisor.start()
        supervisor.wait_following(20)
        relay.cut()
        polling.until(lambda: supervisor.events("base done")[1:], 20, what="a second base")
        supervisor.wait_following(20)
        checked = installed.run("check", "-c", str(supervisor.config), timeout=60)
        assert checked.returncode == 3, checked.stdout
        assert "at its limit of connections for this address" in checked.stdout
        supervisor.wait_following(20)
        supervisor.stop()


@pytest.mark.long
def test_z13_a_connection_more_than_workers_is_enough_for_commands(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z13: maxClientCnxns=5 and 4 workers: all follow, and `check` and `diff` have theirs."""
    roots = [f"/z13-four/{number}" for number in range(4)]
    server = _limited(sandbox, 5)
    zk = observing.connected(server.address)
    zk.create("/z13-four")
    observing.seed(zk, [(root, b"") for root in roots])
    observing.seed(zk, [(f"{root}/n{number}", b"v") for root in roots for number in range(20)])
    zk.stop()
    zk.close()
    settings = installed.settings(
        server, etcd, roots, zookeeper=QUICK, workers={"count": 4}, state={"prefix": "zk2etcd/z13"}
    )
    supervisor = supervise(settings)
    supervisor.start()
    supervisor.wait_following(30)
    for command in (("check",), ("diff", "--json")):
        done = installed.run(*command, "-c", str(supervisor.config), timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    assert {each["phase"] for each in supervisor.shards().values()} == {"following"}


@pytest.mark.long
def test_z13_a_server_that_is_full_is_named(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z13: others hold all connections for this address: the error says so; and one that becomes
    free is taken."""
    root = "/z13-full"
    server = _limited(sandbox, 1)
    zk = observing.connected(server.address)
    zk.create(root, b"")
    supervisor = supervise(installed.settings(server, etcd, [root], zookeeper=QUICK))
    supervisor.start()
    _error(supervisor, root, "at its limit of connections for this address")
    zk.stop()
    zk.close()
    supervisor.wait_following(10)


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["auto", pytest.param("classic", marks=pytest.mark.long)])
def test_z12_requests_shrink_to_what_the_server_takes(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise, protocol: str
) -> None:
    """Z12: jute.maxbuffer=65536 and names of 2,000 bytes: it is mirrored all the same, and what was
    learnt is not forgotten: a second base needs no further attempts."""
    root = f"/z12-{protocol}"
    server = sandbox.zookeeper(durable=False, jvm=(*servers.QUICK_JVM, "-Djute.maxbuffer=65536"))
    server.start()
    sides = both_sides.Sides(server.address, etcd.address)
    sides.seed(root, 3)
    long = "x" * 2000
    for start in range(0, 400, 20):  # of a size that the server takes
        names = range(start, start + 20)
        observing.seed(sides.zk, [(f"{root}/{long}{number:04d}", b"v") for number in names])
    settings = installed.settings(server, etcd, [root], zookeeper={**QUICK, "protocol": protocol})
    supervisor = supervise(settings)
    supervisor.start()
    supervisor.wait_following(40)
    sides.wait_equal(root, timeout=10)
    if protocol == "auto":
        said = supervisor.events("requests to ZooKeeper are made smaller", level="warning")
        assert "jute.maxbuffer" in json.dumps(said), said
    broken = len(supervisor.events("starting over"))
    for number in range(0, 400, 10):
        sides.zk.set(f"{root}/{long}{number:04d}", b"live")
    sides.wait_equal(root, timeout=20)
    done = installed.run("full-sync", "--url", supervisor.url, "--wait", timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(supervisor.events("starting over")) == broken
    for command in ("diff", "check"):
        told = installed.run(command, "-c", str(supervisor.config), timeout=60)
        assert told.returncode == 0, told.stdout + told.stderr
    sides.close()
