"""Many clients at the admin address, or bad ones: mirroring goes on, and probes are answered."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import time

import psutil
import pytest

from tests import polling
from tests.acceptance import conftest, installed
from tests.cases import crowds

pytestmark = pytest.mark.alone
FEW = ("prlimit", "--nofile=128:128")


def _limited(
    mirrors: conftest.Mirrors, root: str, under: tuple[str, ...], workers: int = 2
) -> installed.Supervisor:
    supervisor = mirrors.made(root, nodes=5, workers={"count": workers})
    supervisor.under = under
    supervisor.start()
    supervisor.wait_following()
    return supervisor


def test_idle_connections_end_nothing(mirrors: conftest.Mirrors) -> None:
    """A1: more idle connections than descriptors; the supervisor ended with 70."""
    root = "/admin-idle"
    supervisor = _limited(mirrors, root, FEW)
    address = supervisor.address
    with crowds.Idlers(address, 300) as idlers:
        polling.until(lambda: idlers.opened > 400, 20.0, what="a crowd")
        assert crowds.slowest(address, "/livez", 1.0) < 2.0
        mirrors.sides.zk.set(f"{root}/n0", b"new")
        mirrors.sides.wait_equal(root, timeout=5.0)
        # What needs descriptors is done meanwhile: a worker started, the configuration read.
        slot = supervisor.slot_of(root)
        before = supervisor.worker_pids()[slot]
        os.kill(before, signal.SIGKILL)
        supervisor.reload()
        polling.until(
            lambda: supervisor.worker_pids().get(slot, before) != before, 10.0, what="a new worker"
        )
        polling.until(supervisor.following, 20.0, what="following again")
        mirrors.sides.zk.set(f"{root}/n0", b"newer")
        mirrors.sides.wait_equal(root, timeout=10.0)
    assert supervisor.events("configuration reloaded")
    assert not supervisor.events("cannot start a worker")
    assert supervisor.stop_with(signal.SIGTERM)[0] == 0


def test_a_thousand_idle_connections(mirrors: conftest.Mirrors) -> None:
    """A1: as many as were met; nor does looking after them keep the supervisor from its workers."""
    supervisor = _limited(mirrors, "/admin-many", ("prlimit", "--nofile=1024:1024"), workers=4)
    with crowds.Idlers(supervisor.address, 1_100) as idlers:
        polling.until(lambda: idlers.opened > 1_300, 30.0, what="a crowd")
        assert crowds.slowest(supervisor.address, "/livez", 2.0) < 2.0
    assert supervisor.alive
    assert not supervisor.events("killing worker")


def test_half_requests_keep_nobody_out(mirrors: conftest.Mirrors) -> None:
    """A1: connections that say something and never end it are the same."""
    supervisor = _limited(mirrors, "/admin-half", FEW, workers=1)
    half = b"POST /pause HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n" + b" " * 900
    with crowds.Idlers(supervisor.address, 300, half) as idlers:
        polling.until(lambda: idlers.opened > 400, 20.0, what="a crowd")
        assert crowds.slowest(supervisor.address, "/livez", 1.0) < 2.0
        assert crowds.answered(supervisor.address, "/status") == 200
    assert supervisor.alive


def test_the_soft_limit_of_descriptors_is_raised(mirrors: conftest.Mirrors) -> None:
    """A1: so that 1,024, which a shell sets, is not what there is; workers have it too."""
    supervisor = _limited(mirrors, "/admin-limit", ("prlimit", "--nofile=200:5000"), workers=1)
    for pid in (supervisor.pid, *supervisor.worker_pids().values()):
        assert resource.prlimit(pid, resource.RLIMIT_NOFILE) == (5000, 5000)


def test_clients_that_take_nothing(mirrors: conftest.Mirrors) -> None:
    """A2: 64 shards, six clients that ask for the page and read none of it: nobody was answered."""
    root = "/admin-greedy"
    mirrors.sides.seed(root, 5)
    prefix = {"from": root, "to": root, "buckets": 64}
    content = installed.settings(mirrors.zookeeper, mirrors.etcd, [prefix])

    supervisor = mirrors.supervise(content)
    supervisor.start()
    supervisor.wait_following()
    greedy = [crowds.Greedy(supervisor.address) for _ in range(6)]
    try:
        assert crowds.slowest(supervisor.address, "/livez", 3.0) < 2.5
        assert crowds.answered(supervisor.address, "/status", 5.0) == 200
        polling.until(lambda: all(each.ended() for each in greedy), 15.0, what="hanging up")
        memory = psutil.Process(supervisor.pid).memory_info().rss
        assert memory < 400 * 1024 * 1024
    finally:
        for each in greedy:
            each.close()
    assert crowds.answered(supervisor.address, "/") == 200


def test_many_that_ask_for_the_page_at_once(mirrors: conftest.Mirrors) -> None:
    """A2: of many that ask at once for what is dear, each is answered or told to come again, and
    a probe waits for none of them."""
    supervisor = mirrors.following("/admin-rush", nodes=5)
    with contextlib.ExitStack() as held:
        socks = []
        for _ in range(200):
            sock = held.enter_context(
                socket.create_connection(crowds.split(supervisor.address), 5.0)
            )
            sock.sendall(crowds.PAGE)
            socks.append(sock)
        began = time.monotonic()
        assert crowds.answered(supervisor.address, "/livez") == 200
        assert time.monotonic() - began < 2.0
        heads = set()
        for sock in socks:
            sock.settimeout(10.0)
            heads.add(sock.recv(12))
    assert heads <= {b"HTTP/1.1 200", b"HTTP/1.1 503"}
    assert b"HTTP/1.1 200" in heads
