"""How soon both sides are equal again after a worker, a server or a whole supervisor died.

While the one is away, something changes on the other side that only a whole comparison can find.
Each figure is the worst of its runs, from outside: the clock starts at the kill, or when a server
that was started again answers by itself, and stops when etcd holds the last change and `status`
says that the mirror follows.
"""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import etcd3.etcdrpc as rpc

from benchmarks import bare_etcd, bare_zookeeper, figures, world
from zk2etcd import errors
from zk2etcd.sandbox import supervisor as supervisors
from zk2etcd_workers.commands import generate

CHANGES = 100
BOUND = 5.0
LEASE_TTL = 10.0
"""The default of state.lease_ttl: how long a shard of a dead supervisor stays taken."""
AWAY = 12.0
"""Seconds without a server: the session has expired by then, the lease has ended, and every delay
between attempts is at its longest."""
LONGEST = 60.0
_POLL = 0.02

Supervisor = supervisors.Supervisor


class Marks:
    """Some nodes of the tree whose values are changed."""

    def __init__(self, on: world.World, source: str) -> None:
        self._on = on
        client = bare_zookeeper.connect(on.zookeeper.address)
        walk = bare_zookeeper.walk(client, source.encode())
        paths = (path for nodes in walk for path, _ in nodes)
        self._paths = list(itertools.islice(paths, CHANGES))
        bare_zookeeper.disconnect(client)
        self._round = 0
        self._value = b""

    def change(self) -> None:
        """New values in ZooKeeper."""
        self._next()
        for path in self._paths:
            self._on.writer.set(path.decode(), self._value)

    def tamper(self) -> None:
        """Other values in etcd, which have to go again; ZooKeeper keeps the last change's."""
        puts = bare_etcd.Puts(self._on.channel)
        puts.add([(path, b"tampered") for path in self._paths])
        puts.flush()

    def wait(self) -> None:
        """Return when etcd holds the last change."""
        kv, deadline = rpc.KVStub(self._on.channel), time.monotonic() + LONGEST
        for path in self._paths:
            while self._held(kv, path) != [self._value]:
                _pause(deadline, f"{path!r} was not mirrored")

    def _held(self, kv: Any, path: bytes) -> list[bytes]:
        reply = kv.Range(rpc.RangeRequest(key=path), timeout=LONGEST, wait_for_ready=True)
        return [pair.value for pair in reply.kvs]

    def _next(self) -> None:
        self._round += 1
        self._value = f"round {self._round}".encode()


def measure(on: world.World, source: str, nodes: int, runs: int) -> list[figures.Figure]:
    """`source` holds `nodes` nodes already; they are mirrored first, untimed."""
    on.empty_etcd()
    with on.supervisor(source) as supervisor:
        supervisor.start()
        supervisor.wait_following(world.TIMEOUT)
        marks = Marks(on, source)
        found = [
            _worst("worker killed", _killed, on, supervisor, marks, runs),
            _worst("ZooKeeper restarted", _zookeeper, on, supervisor, marks, runs),
            _worst("etcd restarted", _etcd, on, supervisor, marks, runs),
        ]
        on.assert_equal(source, source)
    return [*found, _standby(on, source, nodes, marks, runs)]


Timed = tuple[float, str]
Fault = Callable[[world.World, Supervisor, Marks], Timed]


def _worst(
    name: str, fault: Fault, on: world.World, running: Supervisor, marks: Marks, runs: int
) -> figures.Figure:
    return figure(f"{name}, equal again", BOUND, [fault(on, running, marks) for _ in range(runs)])


def figure(name: str, bound: float, times: Sequence[Timed]) -> figures.Figure:
    """`times`: seconds and how they came about; the worst counts."""
    seconds, detail = max(times)
    worst = f"worst of {len(times)}" if len(times) > 1 else "one run"
    return figures.Figure(name, seconds, "s", bound, f"{detail}, {worst}")


def _killed(_: world.World, running: Supervisor, marks: Marks) -> Timed:
    (pid,) = (pid for pid in _owners(running).values())
    os.kill(pid, signal.SIGKILL)
    started = time.monotonic()
    marks.change()
    marks.wait()
    _follows(running, not_by=pid)
    return time.monotonic() - started, "from kill -9 of the worker"


def _zookeeper(on: world.World, running: Supervisor, marks: Marks) -> Timed:
    marks.change()
    marks.wait()
    on.writer.close()
    on.zookeeper.stop()
    marks.tamper()
    time.sleep(AWAY)
    stopped = time.monotonic()
    on.zookeeper.start()
    started = time.monotonic()
    marks.wait()
    _follows(running)
    seconds, start = time.monotonic() - started, started - stopped
    on.writer = generate.Writer(on.zookeeper.address, session_timeout=30.0)
    return seconds, f"away for {AWAY:g} s; from its answer to srvr, {start:.1f} s after its start"


def _etcd(on: world.World, running: Supervisor, marks: Marks) -> Timed:
    on.etcd.stop()
    marks.change()
    time.sleep(AWAY)
    stopped = time.monotonic()
    on.etcd.start()
    started = time.monotonic()
    on.channel.close()
    on.channel = bare_etcd.channel(on.etcd.address)
    marks.wait()
    _follows(running)
    seconds, start = time.monotonic() - started, started - stopped
    return (
        seconds,
        f"away for {AWAY:g} s; from its answer to /health, {start:.1f} s after its start",
    )


def _standby(on: world.World, source: str, nodes: int, marks: Marks, runs: int) -> figures.Figure:
    times = [_taken_over(on, source, marks) for _ in range(runs)]
    on.assert_equal(source, source)
    detail = f"lease of {LEASE_TTL:g} s and {BOUND:g} s, {nodes:,} nodes"
    return figure("standby takes over", LEASE_TTL + BOUND, [(each, detail) for each in times])


def _taken_over(on: world.World, source: str, marks: Marks) -> float:
    """Seconds from the kill -9 of a whole supervisor until the other one has caught up."""
    with on.supervisor(source) as first, on.supervisor(source) as second:
        second.configure({**second.content, "state": first.content["state"]})
        first.start()
        first.wait_following(world.TIMEOUT)
        second.start()
        deadline = time.monotonic() + LONGEST
        while second.status()["state"] != "standby":
            _pause(deadline, "the second supervisor does not stand by")
        first.kill()
        started = time.monotonic()
        marks.change()
        marks.wait()
        _follows(second)
        return time.monotonic() - started


def _follows(running: Supervisor, not_by: int | None = None) -> None:
    """Wait until each shard follows, in a worker that is not the process `not_by`."""
    deadline = time.monotonic() + LONGEST
    while not (running.following() and not_by not in _owners(running).values()):
        _pause(deadline, "the mirror does not follow")


def _owners(running: Supervisor) -> dict[str, int]:
    """The pids of the workers that have shards, by slot."""
    workers = running.status()["workers"]
    return {each["slot"]: each["pid"] for each in workers if each["pid"] and each["shards"]}


def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise errors.Unreachable(f"{what} within {LONGEST:g} s")
    time.sleep(_POLL)
