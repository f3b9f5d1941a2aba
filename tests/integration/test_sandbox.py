"""The sandbox that every other test with servers relies on."""

from __future__ import annotations

import contextlib
import http.client
import os
import pathlib

import psutil
import pytest

from tests import polling
from zk2etcd import errors
from zk2etcd.sandbox import server_process, servers


def test_no_two_servers_are_given_the_same_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Although neither listens yet."""
    monkeypatch.setattr(server_process, "PORTS", server_process.PORTS[:40])
    monkeypatch.setattr(server_process, "_given", set())
    given = [server_process.free_port() for _ in range(20)]
    assert len(set(given)) == 20


def test_both_servers_answer(zookeeper: servers.ZooKeeper, etcd: servers.Etcd) -> None:
    assert b"Mode: standalone" in zookeeper.ask("srvr")
    assert etcd.ready()
    assert zookeeper.port != etcd.port


def test_a_killed_server_comes_back_at_its_port(fresh_etcd: servers.Etcd) -> None:
    port, pid = fresh_etcd.port, fresh_etcd.pid
    fresh_etcd.kill()
    assert not fresh_etcd.alive
    assert not fresh_etcd.ready()
    fresh_etcd.start()
    assert fresh_etcd.ready()
    assert fresh_etcd.port == port
    assert fresh_etcd.pid != pid


def test_a_frozen_server_keeps_its_connections_and_says_nothing(fresh_etcd: servers.Etcd) -> None:
    fresh_etcd.freeze()
    peer = http.client.HTTPConnection("127.0.0.1", fresh_etcd.port, timeout=0.3)
    with contextlib.closing(peer):
        peer.request("GET", "/health")
        with pytest.raises(TimeoutError):
            peer.getresponse()
    fresh_etcd.thaw()
    polling.until(fresh_etcd.ready)


def test_wiping_needs_a_stopped_server(fresh_etcd: servers.Etcd) -> None:
    with pytest.raises(errors.UsageError, match="stop it before"):
        fresh_etcd.wipe()
    fresh_etcd.stop()
    fresh_etcd.wipe()
    assert not fresh_etcd.data.exists()


def test_closing_ends_the_processes_and_removes_the_folder() -> None:
    with servers.opened() as opened:
        server = opened.etcd()
        server.start()
        pid, folder = server.pid, opened.folder
        assert folder.exists()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_a_server_that_cannot_start_shows_its_log(sandbox: servers.Sandbox) -> None:
    server = sandbox.etcd(arguments=["--no-such-flag"])
    with pytest.raises(errors.StartError, match="no-such-flag"):
        server.start()


def test_missing_servers_are_named_by_their_packages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    monkeypatch.setattr(servers, "JAVA_FOLDER", tmp_path)
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": str(tmp_path)})
    assert servers.missing() == [
        "default-jre-headless",
        "zookeeper",
        "etcd-server",
        "etcd-client",
    ]
    with pytest.raises(errors.StartError, match="apt-get install default-jre-headless zookeeper"):
        servers.require()
