"""What goes wrong for real is what the alerts see: their expressions, asked of a real Prometheus
about a supervisor in trouble. Their waiting times are promtool's affair."""

from __future__ import annotations

import signal

import pytest

from tests import polling
from tests.acceptance import both_sides, installed
from tests.deployment import examples, prometheus
from zk2etcd.sandbox import servers

pytestmark = prometheus.needed


class Troubled:
    """A mirror on servers of its own, and the Prometheus that watches it."""

    def __init__(self, sandbox: servers.Sandbox) -> None:
        self.zookeeper = sandbox.zookeeper(durable=False)
        self.etcd = sandbox.etcd(durable=False)
        self.zookeeper.start()
        self.etcd.start()
        content = installed.settings(self.zookeeper, self.etcd, ["/a", "/b"])
        folder = sandbox.subfolder("zk2etcd")
        self.supervisor = sandbox.adopt(installed.Supervisor(folder, content))
        targets = [self.supervisor.address]
        self._prometheus = sandbox.adopt(
            prometheus.Prometheus(sandbox.subfolder("prometheus"), targets, examples.ALERTS)
        )
        self._prometheus.start()

    def seen(self, alert: str) -> list[str]:
        """The shards for which the alert's expression holds now."""
        (rule,) = (rule for rule in examples.rules() if rule["alert"] == alert)
        found = self._prometheus.query(rule["expr"])
        return [each["metric"].get("shard", "-") for each in found]

    def wait(self, alert: str, shards: list[str], timeout: float = 30.0) -> None:
        what = f"{alert} for {shards}"
        polling.until(lambda: self.seen(alert) == shards, timeout, every=0.3, what=what)


@pytest.fixture
def troubled(sandbox: servers.Sandbox) -> Troubled:
    return Troubled(sandbox)


def test_a_guarded_shard_and_a_refused_configuration_are_seen(troubled: Troubled) -> None:
    sides = both_sides.Sides(troubled.zookeeper.address, troubled.etcd.address)
    sides.seed("/a")
    sides.seed("/b")
    sides.etcd.put(b"/b/not-of-zookeeper", b"x")
    sides.close()
    supervisor = troubled.supervisor
    supervisor.start()
    guarded = polling.until(
        lambda: supervisor.shards()["/b"]["phase"] == "guarded" and supervisor.shard_id("/b"),
        what="the guard of the first sync",
    )
    troubled.wait("Zk2etcdShardGuarded", [str(guarded)])
    assert troubled.seen("Zk2etcdConfigRefused") == []
    supervisor.write("sync: {prefixes: []}\n")
    supervisor.signal(signal.SIGHUP)
    troubled.wait("Zk2etcdConfigRefused", ["-"])
    for quiet in ("Zk2etcdShardNotOwned", "Zk2etcdShardOwnedTwice", "Zk2etcdShardError"):
        # One may have begun as the shards were taken, and not be over yet.
        troubled.wait(quiet, [])


@pytest.mark.long
def test_an_etcd_that_is_away_is_seen_in_every_shard(troubled: Troubled) -> None:
    supervisor = troubled.supervisor
    supervisor.start()
    supervisor.wait_following()
    shards = sorted(supervisor.shard_id(source) for source in ("/a", "/b"))
    polling.until(lambda: troubled.seen("Zk2etcdAbsent") == [], 10, what="a scrape")
    troubled.etcd.kill()
    for alert in ("Zk2etcdShardError", "Zk2etcdShardNotOwned"):
        polling.until(
            lambda alert=alert: sorted(troubled.seen(alert)) == shards,  # type: ignore[misc]
            40,
            every=0.3,
            what=f"{alert} for {shards}",
        )
    polling.until(lambda: troubled.seen("Zk2etcdEtcdFailing"), 40, every=0.3, what="failures")
    supervisor.stop()
    polling.until(lambda: troubled.seen("Zk2etcdTargetDown") == ["-"], 20, every=0.3, what="down")
