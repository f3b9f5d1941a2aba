"""`zk2etcd run` from argv to exit code."""

from __future__ import annotations

import pathlib
import socket
from typing import Any

import pytest
import yaml

from tests import polling
from zk2etcd.sandbox import servers, supervisor as supervisors

DEAD = "127.0.0.1:1"


def written(folder: pathlib.Path, content: dict[str, Any]) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def nowhere(**sections: Any) -> dict[str, Any]:
    """Both sides refuse connections."""
    return {
        "zookeeper": {"hosts": [DEAD]},
        "etcd": {"endpoints": [f"http://{DEAD}"]},
        "sync": {"prefixes": ["/a"]},
        **sections,
    }


def genzk(zookeeper: servers.ZooKeeper, path: str) -> None:
    arguments = ("--hosts", zookeeper.address, "--path", path, "--parents", "5", "--children", "9")
    assert supervisors.run("genzk", *arguments).returncode == 0


def test_a_port_in_use_is_exit_4_and_starts_no_worker(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What supervisors that were killed left in the usual place would be cleared away, and told of.
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        path = written(tmp_path, nowhere(http={"listen": listen}))
        done = supervisors.run("run", "-c", path)
    assert done.returncode == 4
    lines = done.stderr.splitlines()
    assert len(lines) == 1
    assert listen in lines[0]
    assert "in use" in lines[0]


def test_wrong_use_and_a_wrong_file_are_exit_2(tmp_path: pathlib.Path) -> None:
    assert supervisors.run("run").returncode == 2
    done = supervisors.run("-c", str(tmp_path / "none.yaml"))
    assert (done.returncode, done.stdout) == (2, "")
    path = written(tmp_path, nowhere(worker={"count": 1}))
    done = supervisors.run("run", "-c", path, "--set", "sync.full_sync_concurrency=none")
    assert done.returncode == 2
    assert "worker" in done.stderr
    assert "full_sync_concurrency" in done.stderr


def test_once_gives_up_on_servers_that_are_away(tmp_path: pathlib.Path) -> None:
    done = supervisors.run("run", "--once", "-c", written(tmp_path, nowhere()), timeout=110)
    assert done.returncode == 3, done.stderr
    assert "shard a-" in done.stderr


def test_once_mirrors_and_exits_0_beside_a_busy_port(
    tmp_path: pathlib.Path, zookeeper: servers.ZooKeeper, etcd: servers.Etcd, prefix: str
) -> None:
    genzk(zookeeper, prefix)
    content = supervisors.settings(zookeeper, etcd, [prefix])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        content["http"] = {"listen": f"127.0.0.1:{taken.getsockname()[1]}"}
        content["state"] = {"prefix": f"state{prefix}"}
        done = supervisors.run("run", "--once", "-c", written(tmp_path, content))
    assert done.returncode == 0, done.stderr
    assert '"exit_code":0' in done.stderr


def test_a_supervisor_whose_servers_are_away_stays_up_and_says_so(tmp_path: pathlib.Path) -> None:
    supervisor = supervisors.Supervisor(tmp_path / "run", nowhere(log={"format": "json"}))
    supervisor.start()
    try:
        polling.until(lambda: supervisor.status()["state"] == "degraded", 30)
        (shard,) = supervisor.status()["shards"]
        assert shard["phase"] == "error"
        assert shard["error"]
        assert supervisor.alive
    finally:
        supervisor.stop()
