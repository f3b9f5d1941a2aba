"""As PID 1, as in a container: signals work although the kernel gives it no defaults, and what is
orphaned there is reaped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import psutil
import pytest

from tests import polling
from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers

UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def _permitted() -> bool:
    if not all(shutil.which(tool) for tool in ("unshare", "nsenter")):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


class Contained(installed.Supervisor):
    """PID 1 of a PID namespace of its own; `pid` and signals are unshare's, so use `inner`."""

    def command(self) -> list[str]:
        return [*UNSHARE, *super().command()]

    @property
    def inner(self) -> psutil.Process:
        """The supervisor, as it is seen from outside."""
        return psutil.Process(self.pid).children()[0]


@pytest.mark.skipif(not _permitted(), reason="this user may not make a PID namespace")
def test_it_works_as_pid_1(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sandbox: servers.Sandbox,
    sides: both_sides.Sides,
    prefix: str,
) -> None:
    sides.seed(prefix)
    content = installed.settings(zookeeper, etcd, [prefix])
    supervisor = sandbox.adopt(Contained(sandbox.subfolder("zk2etcd"), content))
    supervisor.start()
    supervisor.wait_following()
    sides.wait_equal(prefix)
    inner = supervisor.inner
    assert supervisor.status()["pid"] == 1
    _assert_orphans_are_reaped(inner)
    _assert_a_killed_worker_comes_back(supervisor, inner, prefix)
    inner.send_signal(signal.SIGHUP)
    polling.until(lambda: supervisor.events("configuration reloaded"), what="SIGHUP")
    inner.send_signal(signal.SIGUSR1)
    polling.until(lambda: supervisor.events("full sync asked for"), what="SIGUSR1")
    inner.send_signal(signal.SIGTERM)
    assert supervisor.end() == 0
    assert not sides.owners(f"zk2etcd{prefix}")


def _assert_orphans_are_reaped(inner: psutil.Process) -> None:
    """A process in the namespace whose parent ended becomes a child of PID 1, then a zombie."""
    enter = ["nsenter", "--target", str(inner.pid), "--pid", "--mount"]
    script = "for n in 1 2 3; do sleep 3 & done"
    subprocess.run([*enter, "sh", "-c", script], check=True, timeout=10)

    def orphans_of_it() -> list[psutil.Process]:
        found = [child for child in inner.children() if child.name() == "sleep"]
        return found if len(found) == 3 else []  # until then one is the shell's copy still

    orphans = polling.until(orphans_of_it, what="all three sleep")
    polling.until(lambda: not any(_exists(orphan) for orphan in orphans), what="all are reaped")


def _exists(process: psutil.Process) -> bool:
    """Also as a zombie."""
    return process.pid in psutil.pids() and process.is_running()


def _assert_a_killed_worker_comes_back(
    supervisor: Contained, inner: psutil.Process, source: str
) -> None:
    """Reaping orphans must not steal the exit status of a child of our own."""
    slot = supervisor.slot_of(source)
    title = f"worker {slot}"
    worker = next(child for child in inner.children() if title in " ".join(child.cmdline()))
    os.kill(worker.pid, signal.SIGKILL)
    polling.until(lambda: supervisor.worker(slot)["restarts"] == 1, what="restarted")
    assert supervisor.worker(slot)["last_exit"] == -signal.SIGKILL
    polling.until(supervisor.following, what="it follows again")
