"""Freshness never lies: `synced_at`, lag, phase, `/readyz` and `status`, each while something that
they rest on is gone (docs/guarantees.md, "What freshness means")."""

from __future__ import annotations

import datetime
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import kazoo.client
import pytest
from kazoo.security import OPEN_ACL_UNSAFE, make_digest_acl

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from tests.cases import event_relay
from tests.integration import observing
from zk2etcd.sandbox import servers

OTHERS = [make_digest_acl("other", "secret", all=True)]


@pytest.fixture
def own(fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd) -> Iterator[both_sides.Sides]:
    """Clients of servers that only this test uses."""
    opened = both_sides.Sides(fresh_zookeeper.address, fresh_etcd.address)
    yield opened
    opened.close()


def is_ready(supervisor: installed.Supervisor) -> bool:
    return supervisor.ask("/readyz")[0] == 200


def lag(supervisor: installed.Supervisor, source: str) -> float:
    """Of the last bucket."""
    return _lag(supervisor.shards()[source])


def _lag(shard: dict[str, Any]) -> float:
    """1e9 for one that was never fresh."""
    return 1e9 if shard["lag_seconds"] is None else float(shard["lag_seconds"])


def _lags(supervisor: installed.Supervisor) -> list[float]:
    """Of all shards, each bucket's own."""
    return [_lag(shard) for shard in supervisor.status()["shards"]]


def trouble(supervisor: installed.Supervisor, source: str) -> str:
    """What `status` says is wrong with the shard, while it is in error; else empty."""
    shard = supervisor.shards()[source]
    return str(shard["error"]) if shard["phase"] == "error" else ""


def started(
    supervise: conftest.Supervise,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    /,
    *prefixes: str | dict[str, object],
    **sections: dict[str, object],
) -> installed.Supervisor:
    """A supervisor with one worker that follows, and is fresh."""
    sections = {"workers": {"count": 1}, **sections}
    supervisor = supervise(installed.settings(zookeeper, etcd, prefixes, **sections))
    supervisor.start()
    supervisor.wait_following()
    polling.until(lambda: max(_lags(supervisor)) < 4, what="fresh")
    assert is_ready(supervisor)
    return supervisor


# --- a right to read that is gone ----------------------------------------------------------------


def _set_all(zk: kazoo.client.KazooClient, root: str, acl: list[object]) -> None:
    """Set the rights of the whole tree, from below, as `setAcl -R` does."""
    for path, _ in sorted(observing.nodes(zk, root), reverse=True):
        zk.set_acls(path, acl)


@pytest.mark.parametrize(
    ("buckets", "protocol"),
    [pytest.param(1, "auto", marks=pytest.mark.long), (2, "auto"), (1, "classic")],
)
def test_a_tree_that_may_not_be_read_any_more_is_not_fresh(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
    buckets: int,
    protocol: str,
) -> None:
    """Z6: the rights of a whole tree, its root too, go to another user, while sets go on: a server
    that filters sends no event. It is named at once; freshness stops; the right that is back leads
    to a full sync."""
    own.seed("/a", 10)
    own.zk.add_auth("digest", "other:secret")
    prefix: dict[str, object] = {"from": "/a", "to": "/a", "buckets": buckets}
    zookeeper: dict[str, object] = {"hosts": [fresh_zookeeper.address], "protocol": protocol}
    supervisor = started(supervise, fresh_zookeeper, fresh_etcd, prefix, zookeeper=zookeeper)

    def shards() -> list[dict[str, object]]:
        return list(supervisor.status()["shards"])

    _set_all(own.zk, "/a", OTHERS)
    own.zk.set("/a/n3", b"unheard")
    unheard = time.time()
    polling.until(
        lambda: all("denies the right to read /a" in str(s["error"]) for s in shards()),
        4,
        what="named",
    )
    assert [shard["phase"] for shard in shards()] == ["error"] * buckets
    assert supervisor.ask("/readyz")[0] == 503
    assert installed.run("status", "--url", supervisor.url).returncode == 1
    polling.until(lambda: min(_lags(supervisor)) > 3, 6, what="lag")
    at = [datetime.datetime.fromisoformat(str(shard["synced_at"])) for shard in shards()]
    assert max(at).timestamp() < unheard
    assert own.etcd.values("/a")[b"/a/n3"] == b"v3"
    _set_all(own.zk, "/a", list(OPEN_ACL_UNSAFE))
    own.wait_equal("/a", timeout=5)
    polling.until(lambda: all(s["phase"] == "following" for s in shards()), 5, what="following")
    assert is_ready(supervisor)
    own.zk.set("/a/n3", b"heard again")
    own.wait_equal("/a", timeout=3)


def test_a_node_that_may_not_be_read_takes_nothing_from_the_others(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
) -> None:
    """The root is what is asked for each second; a single node below is the next full sync's."""
    own.seed("/a", 10)
    own.zk.add_auth("digest", "other:secret")
    supervisor = started(supervise, fresh_zookeeper, fresh_etcd, "/a")
    own.zk.set_acls("/a/n3", OTHERS)
    own.zk.set("/a/n3", b"perhaps unheard")
    own.zk.set("/a/n4", b"heard")
    polling.until(lambda: own.etcd.values("/a")[b"/a/n4"] == b"heard", what="the other")
    polling.until(lambda: lag(supervisor, "/a") < 4, what="fresh")
    assert is_ready(supervisor)
    before = supervisor.sequences()["/a"]
    supervisor.ask("/full-sync", {"shards": [supervisor.shard_id("/a")]})
    polling.until(lambda: supervisor.sequences()["/a"] > before, what="a full sync")
    (named,) = supervisor.shards()["/a"]["unsyncable"]
    assert named["path"] == "/a/n3"
    own.zk.set_acls("/a/n3", list(OPEN_ACL_UNSAFE))


def test_a_missing_root_is_fresh(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
) -> None:
    """What is not there can be read: nothing of it."""
    own.zk.ensure_path("/other")
    supervisor = started(supervise, fresh_zookeeper, fresh_etcd, "/a")
    own.zk.create("/a", b"made")
    polling.until(lambda: own.etcd.values("/a") == {b"/a": b"made"}, what="mirrored")
    polling.until(lambda: lag(supervisor, "/a") < 4, what="fresh")
    assert is_ready(supervisor)


# --- an etcd that does not answer ----------------------------------------------------------------


@pytest.mark.slow
def test_an_etcd_that_is_away_is_noticed_although_nothing_changes(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
) -> None:
    """E11, E10: a long lease, etcd killed, nothing changes: not ready within seconds, and it stays
    so; freshness stands where etcd answered last; all is well once etcd is back."""
    own.seed("/a", 10)
    state: dict[str, object] = {"prefix": "zk2etcd/e11", "lease_ttl": "60s"}
    supervisor = started(supervise, fresh_zookeeper, fresh_etcd, "/a", state=state)
    fresh_etcd.kill()
    polling.until(lambda: not is_ready(supervisor), 10, what="not ready")
    polling.until(lambda: trouble(supervisor, "/a"), 5, what="in error")
    assert "etcd" in trouble(supervisor, "/a")
    stood = supervisor.shards()["/a"]["synced_at"]
    polling.until(lambda: lag(supervisor, "/a") > 9, 12, what="the lag grows")
    assert supervisor.shards()["/a"]["synced_at"] == stood
    assert not is_ready(supervisor)
    fresh_etcd.start()
    polling.until(lambda: is_ready(supervisor), 10, what="ready")
    polling.until(lambda: lag(supervisor, "/a") < 4, 10, what="fresh")


def test_a_frozen_etcd_is_no_fresh_one(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
) -> None:
    """E11, the kind: connections stand and nothing answers."""
    own.seed("/a", 10)
    state: dict[str, object] = {"prefix": "zk2etcd/e11", "lease_ttl": "60s"}
    etcd: dict[str, object] = {"endpoints": [fresh_etcd.url], "request_timeout": "1s"}
    supervisor = started(supervise, fresh_zookeeper, fresh_etcd, "/a", state=state, etcd=etcd)
    fresh_etcd.freeze()
    try:
        polling.until(lambda: not is_ready(supervisor), 8, what="not ready")
        assert lag(supervisor, "/a") > 1
    finally:
        fresh_etcd.thaw()
    polling.until(lambda: is_ready(supervisor), 10, what="ready")


def test_an_etcd_without_space_is_not_ready(
    supervise: conftest.Supervise, sandbox: servers.Sandbox, small_etcd: servers.Etcd
) -> None:
    """E10: NOSPACE: a shard that may write nothing is not ready, and stays so."""
    zookeeper = sandbox.zookeeper(durable=False)
    zookeeper.start()
    own = both_sides.Sides(zookeeper.address, small_etcd.address)
    try:
        own.seed("/a", 10)
        supervisor = started(supervise, zookeeper, small_etcd, "/a")
        for number in range(100):
            if own.etcd.is_full():
                break
            own.zk.set("/a", b"%d" % number)
        own.zk.set("/a/n1", b"no room for it")
        polling.until(lambda: "space" in trouble(supervisor, "/a"), 8, what="in error")
        polling.until(lambda: supervisor.shards()["/a"]["attempt"] > 3, 8, what="tried again")
        assert not is_ready(supervisor)
    finally:
        own.close()


def test_a_standby_that_waits_is_ready(mirrors: conftest.Mirrors, prefix: str) -> None:
    """E10, the other side: who waits for an owner that lives is ready to."""
    first = mirrors.following(prefix)
    standby = mirrors.supervise(first.content)
    standby.start()
    polling.until(lambda: standby.status()["state"] == "standby", what="standing by")
    assert is_ready(standby)
    assert standby.shards()[prefix]["holder"]


def test_a_worker_that_is_restarted_is_no_outage(mirrors: conftest.Mirrors, prefix: str) -> None:
    """E10, the other side: one kill -9 is over within 3 s, and nobody is taken out of service."""
    supervisor = mirrors.following(prefix, workers={"count": 1})
    (pid,) = supervisor.worker_pids().values()
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: supervisor.worker("w0")["restarts"] == 1, what="restarted")
    assert is_ready(supervisor)
    supervisor.wait_following()
    assert is_ready(supervisor)


def test_a_worker_that_does_not_come_back_is_an_outage(
    mirrors: conftest.Mirrors, prefix: str
) -> None:
    """E10: a shard that no worker mirrors for longer than that is not ready."""
    backoff = {"restart_backoff": {"min": "8s", "max": "8s"}, "count": 1}
    supervisor = mirrors.following(prefix, workers=backoff)
    for _ in range(4):
        known = supervisor.worker("w0")
        os.kill(known["pid"], signal.SIGKILL)
        polling.until(
            lambda before=known["pid"]: supervisor.worker("w0")["pid"] != before,  # type: ignore[misc]
            what="gone",
        )
        polling.until(
            lambda: supervisor.worker("w0")["pid"] or supervisor.worker("w0")["state"] == "backoff",
            what="next",
        )
    polling.until(lambda: not is_ready(supervisor), 6, what="not ready")
    assert "w0 ended with signal 9" in supervisor.ask("/readyz?verbose")[1]


# --- a watch that does not tell ------------------------------------------------------------------


def _full_sync(supervisor: installed.Supervisor, source: str) -> installed.Document:
    """Ask for one, and wait: what the log says that it found. A base may follow it at once."""
    before = len(supervisor.events("full sync done"))
    shard = supervisor.shard_id(source)
    assert supervisor.ask("/full-sync", {"shards": [shard]})[0] == 202
    done = polling.until(
        lambda: supervisor.events("full sync done")[before:], what="a full sync done"
    )
    return done[0]


def _missed(supervisor: installed.Supervisor) -> float:
    name = "zk2etcd_missed_events_total "
    lines = supervisor.ask("/metrics")[1].splitlines()
    return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("retell", [event_relay.only_the_root, event_relay.nothing])
def test_a_watch_that_does_not_tell_is_found_out_and_left(
    supervise: conftest.Supervise,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    own: both_sides.Sides,
    retell: event_relay.Retell,
) -> None:
    """Z15: a substitute whose recursive watch names its root only, or nothing: the full sync that
    finds a set, a create and a delete says that no event told of them; after the second in a row
    it is spoken to the classic way, and changes come by themselves."""
    own.seed("/a", 10)
    with event_relay.Relay(fresh_zookeeper.address, retell) as relay:
        hosts: dict[str, object] = {"hosts": [relay.address]}
        supervisor = started(supervise, fresh_zookeeper, fresh_etcd, "/a", zookeeper=hosts)
        for turn in range(2):
            own.zk.set("/a/n1", b"unheard %d" % turn)
            own.zk.create(f"/a/new{turn}", b"unheard")
            own.zk.delete(f"/a/n{5 + turn}")
            found = _full_sync(supervisor, "/a")
            assert (found["put"], found["delete"]) == (2, 1)
            assert found["missed"] == 3
            own.wait_equal("/a")
        assert _missed(supervisor) == 6
        assert len(supervisor.events("events missing", level="warning")) == 2
        polling.until(lambda: supervisor.shards()["/a"]["protocol"] == "classic", what="classic")
        supervisor.wait_following()
        own.zk.set("/a/n2", b"heard")
        own.zk.create("/a/last", b"heard")
        own.wait_equal("/a", timeout=5)
        assert "no event" in supervisor.shards()["/a"]["started_over"]["reason"]


def test_what_a_stranger_did_in_etcd_is_no_missed_event(
    mirrors: conftest.Mirrors, prefix: str
) -> None:
    """Z15, the other side: drift that others made in etcd is repaired, and says nothing of the
    watch; nor do changes that go on all the while."""
    supervisor = mirrors.following(prefix, workers={"count": 1})
    sides = mirrors.sides
    for turn in range(3):
        sides.zk.set(f"{prefix}/n1", b"heard %d" % turn)
        sides.zk.create(f"{prefix}/new{turn}", b"heard")
        sides.zk.delete(f"{prefix}/n{5 + turn}")
        sides.wait_equal(prefix)
        sides.etcd.put(f"{prefix}/n1", b"a stranger's")
        sides.etcd.put(f"{prefix}/n{5 + turn}", b"a stranger's")
        sides.etcd.put(f"{prefix}/n2", b"a stranger's")
        sides.etcd.delete(f"{prefix}/new{turn}")
        found = _full_sync(supervisor, prefix)
        assert (found["put"], found["delete"], found["missed"]) == (3, 1, 0)
        sides.wait_equal(prefix)
    assert _missed(supervisor) == 0
    assert supervisor.shards()[prefix]["protocol"] == "bulk"
