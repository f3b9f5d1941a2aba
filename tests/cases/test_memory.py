"""What a worker holds when things go wrong, and when values are large."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Sequence

import pytest

from tests import polling, proxy as proxies
from tests.acceptance import conftest, installed
from tests.integration import observing
from zk2etcd.sandbox import servers


def _memory(supervisor: installed.Supervisor, field: str) -> float:
    """MiB of the fattest worker; `field` is VmHWM, the most it ever had, or VmRSS."""
    return max((_of(pid, field) for pid in supervisor.worker_pids().values()), default=0) / 1024


def _of(pid: int, field: str) -> int:
    """KiB of a process; 0 when it has ended."""
    with contextlib.suppress(OSError):
        status = pathlib.Path(f"/proc/{pid}/status").read_text("ascii")
        return sum(int(each.split()[1]) for each in status.splitlines() if each.startswith(field))
    return 0


def _filled(server: servers.ZooKeeper, root: str, values: Sequence[tuple[str, bytes]]) -> None:
    zk = observing.connected(server.address)
    try:
        zk.ensure_path(root)
        largest = max(len(name) + len(value) for name, value in values)
        # ZooKeeper takes no request above 1 MiB.
        batch = min(500, 900_000 // largest or 1)
        observing.seed(zk, [(f"{root}/{name}", value) for name, value in values], batch=batch)
    finally:
        zk.stop()
        zk.close()


class _Failing:
    """A supervisor of one shard, `/wide`, one of whose sides is cut off in the middle."""

    def __init__(
        self, zookeeper: servers.ZooKeeper, etcd: servers.Etcd, between: proxies.Proxy
    ) -> None:
        content = installed.settings(zookeeper, etcd, ["/wide"], workers={"count": 1})
        if between.target == zookeeper.address:
            self.content = installed.laid_over(content, zookeeper={"hosts": [between.address]})
        else:
            url = f"http://{between.address}"
            self.content = installed.laid_over(content, etcd={"endpoints": [url]})
        self._between = between

    def grows_to(
        self, supervisor: installed.Supervisor, most: int, seconds: float = 0.0
    ) -> tuple[float, float]:
        """MiB of the worker: the most while all was well, the most in eight attempts, and so many
        seconds, that failed once `most` bytes had come of one connection."""
        supervisor.start()
        supervisor.wait_following()
        healthy = _memory(supervisor, "VmHWM")
        self._between.most = most
        for pid in supervisor.worker_pids().values():
            os.kill(pid, signal.SIGKILL)
        seen, over = [healthy], time.monotonic() + seconds

        def attempts() -> bool:
            seen.append(_memory(supervisor, "VmRSS"))
            failed = bool(supervisor.shards()["/wide"]["attempt"] >= 9)
            return failed and time.monotonic() > over

        polling.until(attempts, 60 + seconds, every=0.1, what="8 failures")
        self._between.most = proxies.KEEP_ALL
        self._between.cut()
        supervisor.wait_following()
        return healthy, max(seen)


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.long
@pytest.mark.parametrize("seconds", [0, 300])
def test_a_base_that_keeps_failing_holds_no_more_than_one_that_ends_well(
    seconds: int,
    fresh_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    supervise: conftest.Supervise,
) -> None:
    """Z11: connections end after the listing, so that each base fails half-way."""
    names = [(f"{number:05}" + "x" * 795, b"v") for number in range(20_000)]
    _filled(fresh_zookeeper, "/wide", names)
    with proxies.Proxy(fresh_zookeeper.address) as between:
        failing = _Failing(fresh_zookeeper, fresh_etcd, between)
        supervisor = supervise(failing.content)
        healthy, most = failing.grows_to(supervisor, 17_000_000, seconds)
    assert most < 1.3 * healthy


@pytest.mark.slow
@pytest.mark.long
def test_nor_does_one_that_etcd_breaks_off(
    fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z11, of the other side: etcd's answers break off among pages of large values."""
    values = [(f"n{number:04}", b"%04d" % number * 5_000) for number in range(1_500)]
    _filled(fresh_zookeeper, "/wide", values)
    with proxies.Proxy(fresh_etcd.address) as between:
        failing = _Failing(fresh_zookeeper, fresh_etcd, between)
        healthy, most = failing.grows_to(supervise(failing.content), 12_000_000)
    assert most < 1.3 * healthy


@pytest.fixture
def roomy_zookeeper(sandbox: servers.Sandbox) -> servers.ZooKeeper:
    """A started ZooKeeper that only this test uses, and that takes 300 MB of values."""
    jvm = ["-Xmx2g", "-Dzookeeper.commitLogCount=10"]
    server = sandbox.zookeeper(durable=False, jvm=jvm)
    server.start()
    return server


def _mixed(name: str) -> list[tuple[str, bytes]]:
    large = b"%07d"
    if name in ("large", "a hundred"):
        return [
            (f"n{at:03}", large % at * 143_000) for at in range(300 if name == "large" else 100)
        ]
    if name == "after many small ones":
        small = [(f"a{at:05}", b"%d" % at) for at in range(10_000)]
        return small + [(f"b{at:03}", large % at * 143_000) for at in range(300)]
    # Groups, large and small by turns.
    groups = range(30)
    return [
        (f"g{group:02}{at:03}", large % at * (143_000 if group % 2 else 1))
        for group in groups
        for at in range(20 if group % 2 else 300)
    ]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(shape, marks=pytest.mark.long)
        for shape in ("a hundred", "large", "after many small ones", "by turns")
    ],
)
def test_values_of_a_megabyte_fit_into_a_small_container(
    shape: str,
    roomy_zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    supervise: conftest.Supervise,
) -> None:
    """E12: 300 values of 1 MB (a hundred of them suffice to see it): a first sync, a full sync, a
    restart, and `diff`."""
    _filled(roomy_zookeeper, "/large", _mixed(shape))
    content = installed.settings(roomy_zookeeper, fresh_etcd, ["/large"], workers={"count": 1})
    supervisor = supervise(content)
    supervisor.start()
    supervisor.wait_following()
    peaks = {"first sync": _memory(supervisor, "VmHWM")}
    assert installed.run("full-sync", "--url", supervisor.url).returncode == 0
    polling.until(lambda: supervisor.sequences()["/large"] == 2, 30, what="a full sync")
    peaks["full sync"] = _memory(supervisor, "VmHWM")
    supervisor.stop()
    supervisor.start()
    supervisor.wait_following()
    peaks["restart"] = _memory(supervisor, "VmHWM")
    compared, peaks["diff"] = _measured("diff", "-c", str(supervisor.config))
    assert compared == 0
    assert all(peak <= 350 for peak in peaks.values()), peaks


def _measured(*arguments: str) -> tuple[int, float]:
    """The exit code of a command, and the most MiB that it had. (What wait4 tells counts from the
    fork on, when it was as large as we are.)"""
    process = subprocess.Popen([installed.command(), *arguments], stdout=subprocess.DEVNULL)
    seen = [0.0]

    def ended() -> bool:
        seen.append(_of(process.pid, "VmHWM") / 1024)
        return process.poll() is not None

    polling.until(ended, 60, what="the command ended")
    return process.returncode, max(seen[3:], default=0.0)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_million_children_of_one_node_fit_into_512_mib(
    sandbox: servers.Sandbox, supervise: conftest.Supervise
) -> None:
    """Their listing alone has 184 MB. ZooKeeper itself needs some 2.5 GB for them."""
    server = sandbox.zookeeper(durable=False, jvm=["-Xmx4g", "-XX:+UseSerialGC"])
    etcd = sandbox.etcd(durable=False, arguments=["--quota-backend-bytes", str(8 * 1024**3)])
    server.start()
    etcd.start()
    names = [(f"{number * 7919 % 1_000_003:07}" + "x" * 173, b"v") for number in range(1_000_000)]
    _filled(server, "/wide", names)
    supervisor = supervise(installed.settings(server, etcd, ["/wide"], workers={"count": 1}))
    supervisor.start()
    supervisor.wait_following(600)
    family = [supervisor.pid, *supervisor.worker_pids().values()]
    assert sum(_of(pid, "VmHWM") for pid in family) / 1024 < 480, "and some for Python's own helper"
    assert supervisor.shards()["/wide"]["keys"] == 1_000_001
