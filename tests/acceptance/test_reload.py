"""SIGHUP and its relatives: a reload changes what changed and leaves the rest alone."""

from __future__ import annotations

import contextlib
import copy
import pathlib
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests import polling, proxy
from tests.acceptance import both_sides, conftest, installed, metrics_text
from zk2etcd.sandbox import servers

Document = installed.Document
STATE = "zk2etcd/reload"
LAST_RELOAD = "zk2etcd_config_last_reload_successful"


@pytest.fixture(scope="module")
def shared(sides: both_sides.Sides, mirrors_module: conftest.Mirrors) -> installed.Supervisor:
    """One supervisor for all the tests here, which leave it as they found it."""
    sides.seed("/reload/added", 20)
    return mirrors_module.following("/reload", "keep", "other")


@pytest.fixture
def running(shared: installed.Supervisor) -> Iterator[installed.Supervisor]:
    """The shared one; afterwards it has its first configuration back."""
    content = copy.deepcopy(shared.content)
    yield shared
    shared.configure(content)
    shared.reload()
    polling.until(
        lambda: shared.following() and shared.status()["config"]["error"] is None,
        what="the first configuration is back",
    )


class Untouched:
    """A shard that a reload must leave alone: no new token, no new base, no new process."""

    def __init__(
        self, supervisor: installed.Supervisor, sides: both_sides.Sides, source: str
    ) -> None:
        self._supervisor = supervisor
        self._sides = sides
        self._source = source
        self._before = self._facts()

    def check(self) -> None:
        assert self._facts() == self._before

    def _facts(self) -> tuple[Any, ...]:
        shard = self._supervisor.shards()[self._source]
        worker = self._supervisor.worker(shard["worker"])
        owner = self._sides.etcd.get(f"{STATE}/owners/{shard['id']}")
        assert owner is not None
        sequence = shard["last_full_sync"]["sequence"]
        return shard["id"], worker["slot"], worker["pid"], owner.mod_revision, sequence


def _reload(supervisor: installed.Supervisor, **sections: Any) -> None:
    """Write the configuration with these sections changed, and send SIGHUP."""
    before = supervisor.status()["config"]["sha256"]
    supervisor.configure(installed.laid_over(supervisor.content, **sections))
    supervisor.reload()
    polling.until(
        lambda: supervisor.status()["config"]["sha256"] != before, what="the file was taken over"
    )


def test_an_added_prefix_starts_and_a_removed_one_stops_and_deletes_nothing(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    kept = Untouched(running, sides, "/reload/keep")
    removed = running.shards()["/reload/other"]["id"]
    before = sides.etcd.below("/reload/other")
    _reload(running, sync={"prefixes": ["/reload/keep", "/reload/added"]})
    sides.wait_equal("/reload/added")
    polling.until(
        lambda: sides.etcd.get(f"{STATE}/owners/{removed}") is None, what="the owner key is gone"
    )
    sides.zk.set("/reload/other/n1", b"not mirrored any more")
    sides.zk.delete("/reload/other/n2")
    sides.zk.set("/reload/added/n1", b"mirrored")
    sides.zk.set("/reload/keep/n1", b"mirrored")
    sides.wait_equal("/reload/added", "/reload/keep")
    assert set(running.shards()) == {"/reload/keep", "/reload/added"}
    assert sides.etcd.below("/reload/other") == before
    kept.check()


def test_a_prefix_that_comes_back_is_equal_again(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    _reload(running, sync={"prefixes": ["/reload/keep"]})
    polling.until(lambda: set(running.shards()) == {"/reload/keep"})
    sides.zk.set("/reload/other/n3", b"changed meanwhile")
    _reload(running, sync={"prefixes": ["/reload/keep", "/reload/other"]})
    sides.wait_equal("/reload/other")


def test_an_exclude_restarts_its_shard_only_and_leaves_the_keys(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    kept = Untouched(running, sides, "/reload/keep")
    sides.seed("/reload/other/secret", 2)
    sides.seed("/reload/other/secretary", 2)
    sides.wait_equal("/reload/other")
    before = sides.etcd.below("/reload/other/secret")
    entry = {"from": "/reload/other", "to": "/reload/other", "exclude": ["/reload/other/secret"]}
    _reload(running, sync={"prefixes": ["/reload/keep", entry]})
    polling.until(running.following)
    sides.zk.set("/reload/other/secret/n1", b"not mirrored")
    sides.zk.set("/reload/other/secretary/n1", b"mirrored")
    sides.wait_equal("/reload/other/secretary")
    assert sides.etcd.below("/reload/other/secret") == before
    kept.check()
    _reload(running, sync={"prefixes": ["/reload/keep", "/reload/other"]})
    sides.wait_equal("/reload/other")


def test_the_log_level_changes_in_every_process(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    kept = Untouched(running, sides, "/reload/keep")
    assert not running.events(level="debug")
    _reload(running, log={"level": "debug"})
    assert running.status()["log_level"] == "debug"
    kept.check()
    _reload(running, log={"level": "error"})
    before, written = running.sequences(), running.log.stat().st_size
    running.signal(signal.SIGUSR1)
    polling.until(
        lambda: all(now > before[source] for source, now in running.sequences().items()),
        what="full syncs that are not logged",
    )
    assert running.log.stat().st_size == written, "info lines at level error"
    _reload(running, log={"level": "info"})


def test_a_bad_file_is_refused_and_the_running_configuration_kept(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    kept = [Untouched(running, sides, path) for path in ("/reload/keep", "/reload/other")]
    sha256 = running.status()["config"]["sha256"]
    running.write(running.config.read_text("utf-8").replace("prefixes:", "prefixs:"))
    running.reload()
    status = installed.refused(running)
    assert "prefixs" in status["config"]["error"]
    assert "prefixes" in status["config"]["error"], "the nearest key is named"
    assert status["config"]["sha256"] == sha256
    refusals = running.events("configuration kept: the new one is refused")
    assert "prefixs" in refusals[-1]["reason"]
    samples = metrics_text.parse(running.ask("/metrics")[1])
    assert samples[LAST_RELOAD] == 0
    told = installed.run("status", "--url", running.url)
    assert "prefixs" in told.stdout
    sides.zk.set("/reload/keep/n2", b"still mirrored")
    sides.wait_equal("/reload/keep")
    for each in kept:
        each.check()
    running.configure(running.content)
    running.reload()
    polling.until(lambda: running.status()["config"]["error"] is None)
    assert metrics_text.parse(running.ask("/metrics")[1])[LAST_RELOAD] == 1


def test_a_key_that_needs_a_restart_is_refused_by_name(
    running: installed.Supervisor, sides: both_sides.Sides
) -> None:
    kept = Untouched(running, sides, "/reload/keep")
    content = copy.deepcopy(running.content)
    running.configure(
        {**content, "state": {"prefix": "zk2etcd/elsewhere"}, "log": {"level": "debug"}}
    )
    running.reload()
    error = installed.refused(running)["config"]["error"]
    running.content = content
    assert "state.prefix" in error
    assert "restart" in error
    assert running.status()["log_level"] == "info", "a refused file changes nothing"
    kept.check()


def test_the_reload_command_says_what_changed_and_what_is_wrong(
    running: installed.Supervisor,
) -> None:
    content = copy.deepcopy(running.content)
    running.configure({**content, "workers": {"count": 2, "stop_timeout": "14s"}})
    done = installed.run("reload", "-c", str(running.config))
    assert (done.returncode, done.stdout.split()) == (0, ["workers.stop_timeout"])
    broken = running.config.with_name("broken.yaml")
    broken.write_text("sync: {}", "utf-8")
    running.write("sync: {prefixes: [/a, /a/b], intervall: 1s}\n")
    done = installed.run("reload", "--url", running.url)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "overlap" in done.stderr
    assert "intervall" in done.stderr
    assert "Traceback" not in done.stderr
    running.content = content


@pytest.mark.parametrize("mode", ["standby", "share"])
def test_changed_servers_are_connected_to(
    zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    sides: both_sides.Sides,
    prefix: str,
    mirrors: conftest.Mirrors,
    mode: str,
) -> None:
    supervisor = mirrors.following(prefix, nodes=5, cluster={"mode": mode})
    pids = supervisor.worker_pids()
    _reload(supervisor, etcd={"endpoints": [fresh_etcd.url]})
    with (
        contextlib.closing(both_sides.Sides(zookeeper.address, fresh_etcd.address)) as moved,
        proxy.Proxy(zookeeper.address) as another,
    ):
        moved.wait_equal(prefix)
        old = sides.etcd.below(prefix)
        assert not sides.owners(f"zk2etcd{prefix}"), "the old etcd is let go of"
        _reload(supervisor, zookeeper={"hosts": [another.address]})
        polling.until(lambda: another.connections > 0, what="a connection to the new host")
        sides.zk.set(f"{prefix}/n1", b"by the new host, for the new etcd")
        moved.wait_equal(prefix)
        assert sides.etcd.below(prefix) == old
        polling.until(supervisor.following)
        # Who shares has nothing in another etcd until it was seen who is there, so other slots end.
        kept = {"w0"} if mode == "share" else pids.keys()
        same = dict(supervisor.worker_pids().items() & pids.items())
        assert same.keys() >= kept, "a reconnect needs no new process"


def test_a_watched_file_is_reloaded_when_a_configmap_is_swapped(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sides: both_sides.Sides,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    one, two = f"{prefix}/one", f"{prefix}/two"
    sides.seed(one)
    sides.seed(two)
    content = installed.settings(zookeeper, etcd, [one], reload={"watch": "200ms"})
    supervisor = supervise(content)
    versions = _ConfigMap(supervisor)
    versions.publish(content)
    supervisor.start()
    supervisor.wait_following()
    versions.publish({**content, "sync": {"prefixes": [one, two]}})
    sides.wait_equal(one, two)
    assert set(supervisor.shards()) == {one, two}
    versions.publish({**content, "sync": {"prefixs": [one]}})
    assert "prefixs" in installed.refused(supervisor)["config"]["error"]
    assert len(supervisor.events("configuration kept: the new one is refused")) == 1
    versions.publish({**content, "sync": {"prefixes": [one]}})
    polling.until(lambda: set(supervisor.shards()) == {one})


class _ConfigMap:
    """The folder of a mounted ConfigMap: `config.yaml` -> `..data/config.yaml`, `..data` -> a
    folder of the version, swapped by a rename (the kubelet's atomic writer)."""

    def __init__(self, supervisor: installed.Supervisor) -> None:
        self._supervisor = supervisor
        self._folder = pathlib.Path(supervisor.folder)
        self._version = 0

    def publish(self, content: installed.Settings) -> None:
        self._version += 1
        folder = self._folder / f"..version-{self._version}"
        folder.mkdir()
        config = self._supervisor.config
        if not config.is_symlink():
            config.unlink()
            config.symlink_to("..data/config.yaml")
        self._supervisor.config = folder / "config.yaml"
        self._supervisor.configure(content)
        self._supervisor.config = config
        link = self._folder / "..data_tmp"
        link.symlink_to(folder.name)
        link.replace(self._folder / "..data")
