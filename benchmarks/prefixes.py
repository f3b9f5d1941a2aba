"""Many prefixes of a few nodes on two workers: what a start, a quiet minute and a change cost, and
how that grows with their number; what it takes to see them, and to have back those of a worker that
was killed.

Requests are counted where they arrive: etcd's own counter of Ranges and Txns, ZooKeeper's of
packets.
"""

from __future__ import annotations

import http
import os
import re
import signal
import statistics
import time
import urllib.request
from typing import NamedTuple

from benchmarks import bare_etcd, figures, processes, world
from zk2etcd.sandbox import supervisor as supervisors
from zk2etcd_workers.commands import generate

NODES = 4
QUIET_SECONDS = 8.0
SETTLE_SECONDS = 3.0
CHANGES = 60
LOOK_SECONDS, PAUSE_SECONDS = 0.25, 0.02
FEW = 10
LOOKS, BACK_TIMEOUT = 9, 120.0
FOLLOWING_TARGET, OURS_TARGET, THEIRS_TARGET, CHANGE_TARGET = 5.0, 0.06, 0.1, 1.5
SCRAPE_TARGET, BACK_TARGET = 0.05, 4.0
_HANDLED = re.compile(
    r'grpc_server_handled_total\{grpc_code="OK",.*?grpc_method="(\w+)".*?\} (\S+)'
)


class Counts(NamedTuple):
    """What had been asked of the servers, and processor seconds used, at one moment."""

    etcd: float
    zookeeper: float
    ours: float
    theirs: float
    at: float


class Run(NamedTuple):
    """One supervisor of so many prefixes: seconds until all follow, requests a prefix until then,
    cores and requests a prefix and second while nothing happens, seconds of each change; of a
    scrape, of the page with a search; until the shards of a killed worker follow again."""

    following: float
    started: Counts
    quiet: Counts
    changes: list[float]
    scrape: float
    search: float
    back: float


def measure(on: world.World, most: int) -> list[figures.Figure]:
    """Of a few prefixes, then of `most`."""
    few, many = _run(on, FEW), _run(on, most)
    p50 = statistics.median(many.changes)
    base = statistics.median(few.changes)
    rate = _requests(many.quiet, many.quiet.at)
    each = _requests(many.started, most)
    beside = f"{figures.seconds(p50)} beside {figures.seconds(base)} with {FEW}"
    return [
        figures.Figure(
            f"{most:,} prefixes, all following after",
            many.following,
            "s",
            FOLLOWING_TARGET,
            f"{figures.seconds(few.following)} with {FEW}; {each} a prefix",
        ),
        _idle("ours", *_cores(many, few, "ours"), most, OURS_TARGET, f"; {rate} a second"),
        _idle("servers'", *_cores(many, few, "theirs"), most, THEIRS_TARGET, ""),
        figures.Figure(f"a change, {most:,} prefixes", p50 / base, "x", CHANGE_TARGET, beside),
        figures.Figure(
            f"a scrape of {most:,} prefixes",
            many.scrape,
            "s",
            SCRAPE_TARGET,
            f"{figures.seconds(few.scrape)} with {FEW}, median of {LOOKS};"
            f" the page with a search {figures.seconds(many.search)}",
        ),
        figures.Figure(
            f"{most // 2:,} prefixes of a killed worker, following again after",
            many.back,
            "s",
            BACK_TARGET,
            f"{figures.seconds(few.back)} with {FEW // 2}",
        ),
    ]


def _cores(many: Run, few: Run, whose: str) -> tuple[float, float]:
    return tuple(getattr(run.quiet, whose) / run.quiet.at for run in (many, few))


def _idle(
    whose: str, many: float, few: float, most: int, target: float, rate: str
) -> figures.Figure:
    detail = f"{few:.3f} with {FEW}{rate}"
    return figures.Figure(f"{most:,} quiet prefixes, {whose}", many, "cores", target, detail)


def _requests(counts: Counts, per: float) -> str:
    return f"{counts.etcd / per:.1f} requests to etcd and {counts.zookeeper / per:.1f} to ZooKeeper"


def _run(on: world.World, prefixes: int) -> Run:
    paths = [f"/many{prefixes}/p{number:04d}" for number in range(prefixes)]
    nodes = [path + name for path in paths for name in ("", *(f"/n{at}" for at in range(NODES)))]
    on.writer.write(generate.Item(path, b"value") for path in [f"/many{prefixes}", *nodes])
    on.empty_etcd()
    with on.supervisor(*paths) as supervisor:
        return _measured(on, supervisor, paths)


def _measured(on: world.World, supervisor: supervisors.Supervisor, paths: list[str]) -> Run:
    before, began = _counts(on), time.monotonic()
    supervisor.launch()
    # Not the status of all: to show it again and again would cost more than to start.
    while supervisor.log.read_bytes().count(b'"base done"') < len(paths):
        if time.monotonic() - began > world.TIMEOUT:
            raise AssertionError(f"not all of {len(paths)} prefixes follow")
        time.sleep(LOOK_SECONDS)
    following = time.monotonic() - began
    started = _between(before, _counts(on, supervisor))
    time.sleep(SETTLE_SECONDS)
    at = _counts(on, supervisor)
    time.sleep(QUIET_SECONDS)
    quiet = _between(at, _counts(on, supervisor))
    changes = _changes(on, paths)
    scrape, search = (_look(supervisor, what) for what in ("/metrics", "/?find=p0003"))
    return Run(following, started, quiet, changes, scrape, search, _killed(supervisor))


def _look(supervisor: supervisors.Supervisor, what: str) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.monotonic()
        status, _ = supervisor.ask(what)
        times.append(time.monotonic() - began)
        if status != http.HTTPStatus.OK:
            raise AssertionError(f"{what} was answered {status}")
    return statistics.median(times)


def _killed(supervisor: supervisors.Supervisor) -> float:
    """Seconds until the shards of a worker that was killed have had their base again."""
    slot, pid = min(supervisor.worker_pids().items())
    wanted = sum(each["worker"] == slot for each in supervisor.shards().values())
    wanted += (before := supervisor.log.read_bytes()).count(b'"base done"')
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while supervisor.log.read_bytes().count(b'"base done"') < wanted:
        if time.monotonic() - began > BACK_TIMEOUT:
            raise AssertionError(f"not all are back: {before[-500:]!r}")
        time.sleep(LOOK_SECONDS / 5)
    return time.monotonic() - began


def _between(then: Counts, now: Counts) -> Counts:
    return Counts(*(b - a for a, b in zip(then, now, strict=True)))


def _counts(on: world.World, supervisor: supervisors.Supervisor | None = None) -> Counts:
    url = f"{on.etcd.url}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        handled = dict(_HANDLED.findall(answer.read().decode()))
    etcd = sum(float(handled.get(method, 0)) for method in ("Range", "Txn"))
    told = re.search(rb"Received: (\d+)", on.zookeeper.ask("srvr"))
    ours = 0.0 if supervisor is None else processes.cpu(*processes.family(supervisor.pid))
    theirs = processes.cpu_of(on.etcd.pid, on.zookeeper.pid)
    return Counts(etcd, int(told[1]) if told else 0, ours, theirs, time.monotonic())


def _changes(on: world.World, paths: list[str]) -> list[float]:
    """Seconds of one change each, of a prefix after the other, to etcd's watch event."""
    watch = bare_etcd.Watch(on.channel, paths[0].rpartition("/")[0].encode())
    times = []
    for number in range(CHANGES):
        path = f"{paths[number * len(paths) // CHANGES]}/n0"
        began = time.monotonic()
        on.writer.set(path, b"%d" % number)
        key, _, _ = watch.seen.get(timeout=world.TIMEOUT)
        if key != path.encode():
            raise AssertionError(f"{key!r} changed, not {path}")
        times.append(time.monotonic() - began)
        time.sleep(PAUSE_SECONDS)
    watch.close()
    return times
