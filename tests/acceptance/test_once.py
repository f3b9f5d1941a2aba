"""`run --once` says by its exit code how it went; `run --dry-run` writes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from typing import Any

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import server_process


@pytest.fixture
def supervisor(mirrors: conftest.Mirrors, prefix: str) -> installed.Supervisor:
    """Not started: its file is for `run`."""
    return mirrors.made(prefix, "a", "b")


def _with(supervisor: installed.Supervisor, **sections: Mapping[str, Any]) -> str:
    supervisor.configure(installed.laid_over(supervisor.content, **sections))
    return str(supervisor.config)


def test_once_makes_both_sides_equal_and_exits_0(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    done = installed.run("run", "--once", "-c", str(supervisor.config))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert sides.equal(f"{prefix}/a")
    assert sides.equal(f"{prefix}/b")
    assert not sides.owners(f"zk2etcd{prefix}")


def test_once_exits_1_when_the_first_sync_finds_keys_to_delete(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    sides.etcd.put(f"{prefix}/a/unknown", b"whose is this?")
    done = installed.run("run", "--once", "-c", str(supervisor.config))
    assert done.returncode == 1, done.stderr
    assert "guarded" in done.stderr
    assert sides.etcd.value(f"{prefix}/a/unknown") == b"whose is this?"
    assert sides.equal(f"{prefix}/b")
    assert not sides.owners(f"zk2etcd{prefix}")


@pytest.mark.parametrize("side", ["zookeeper", "etcd"])
def test_once_exits_3_when_a_server_cannot_be_reached(
    supervisor: installed.Supervisor, side: str
) -> None:
    address = f"127.0.0.1:{server_process.free_port()}"
    setting = {
        "zookeeper": {"zookeeper": {"hosts": [address], "connect_timeout": "200ms"}},
        "etcd": {"etcd": {"endpoints": [f"http://{address}"], "request_timeout": "200ms"}},
    }
    done = installed.run("run", "--once", "-c", _with(supervisor, **setting[side]), timeout=45)
    assert done.returncode == 3, done.stderr
    assert address in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    sides.etcd.put(f"{prefix}/a/n1", b"another value")
    revision = sides.etcd.revision()
    done = installed.run("run", "--once", "--dry-run", "-c", str(supervisor.config))
    assert done.returncode == 0, done.stderr
    assert sides.etcd.written_since(revision) == []
    assert f"{prefix}/a/n1" in done.stderr
    assert f"{prefix}/b/n1" in done.stderr


def test_a_dry_run_follows_until_it_is_stopped(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str
) -> None:
    revision = sides.etcd.revision()
    with supervisor.log.open("wb") as log:
        running = subprocess.Popen(
            [installed.command(), "run", "--dry-run", "-c", str(supervisor.config)],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=dict(os.environ),
        )
    try:
        polling.until(lambda: len(supervisor.events("base done")) == 2, what="both bases")
        sides.zk.set(f"{prefix}/b/n3", b"live")
        sides.zk.create(f"{prefix}/b/fresh", b"live")
        polling.until(
            lambda: f"{prefix}/b/fresh" in supervisor.log.read_text("utf-8"),
            what="the live change in the log",
        )
        running.send_signal(signal.SIGTERM)
        assert running.wait(10) == 0
    finally:
        running.kill()
        running.wait()
    assert sides.etcd.written_since(revision) == []
