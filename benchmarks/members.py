"""Supervisors that share: how soon a cold start of many is settled, how many claims it takes, what
they ask of etcd at rest, and what one asks that has nothing.

Members are stand-ins (`stand_ins`), in a process for each processor. Requests are counted where
they arrive: all messages of all methods, those of streams too. Each case has a state prefix of its
own.
"""

from __future__ import annotations

import collections
import contextlib
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import etcd3.etcdrpc as rpc

from benchmarks import figures, stand_ins, world
from zk2etcd import cpus, messages
from zk2etcd.sandbox import supervisor as supervisors
from zk2etcd_workers.ownership import owners, records

SIZES = ((8, 64), (16, 64), (32, 64), (32, 256))
QUIET_SECONDS, SETTLE_SECONDS, STILL_SECONDS = 10.0, 4.0, 1.5
SETTLED_TARGET, CLAIMS_TARGET, IDLE_TARGET, GROWTH_TARGET = 3.0, 3.0, 2.0, 1.2
_LOOK_SECONDS = 0.02
_ARRIVED = re.compile(r"grpc_server_msg_received_total\{(.*?)\} (\S+)")


class Run(NamedTuple):
    """Seconds from the start until all is owned as it stays, the most and fewest shards of one,
    the most claims of one, requests a second at rest; seconds of processors for decisions."""

    settled: float
    parts: tuple[int, int]
    claims: int
    rest: float
    steps: float


def measure(on: world.World, sizes: Sequence[tuple[int, int]] = SIZES) -> list[figures.Figure]:
    runs = {size: _run(on, *size) for size in sizes}
    few, wide, most = sizes[0], sizes[-2], sizes[-1]
    measured = []
    for (members, shards), run in runs.items():
        what = f"{members} supervisors, {shards} shards:"
        parts = f"{run.parts[0]} to {run.parts[1]} shards each"
        settled = f"{parts}; {run.steps / members:.2f} s of a processor for each one's decisions"
        measured += [
            figures.Figure(f"{what} settled", run.settled, "s", SETTLED_TARGET, settled),
            figures.Figure(f"{what} claims", run.claims, "Txns", CLAIMS_TARGET, "of who has most"),
        ]
    by_shards = runs[most].rest / runs[wide].rest
    by_members = runs[wide].rest / runs[few].rest * few[0] / wide[0]
    what = f"at rest, {most[1]} shards beside {wide[1]}, {wide[0]} supervisors"
    detail = f"{_rate(runs, most)} beside {_rate(runs, wide)}"
    measured.append(figures.Figure(what, by_shards, "x", GROWTH_TARGET, detail))
    what = f"at rest, each of {wide[0]} supervisors beside each of {few[0]}"
    detail = f"{_rate(runs, wide)} beside {_rate(runs, few)}"
    measured.append(figures.Figure(what, by_members, "x", GROWTH_TARGET, detail))
    return [*measured, _idle(on)]


def _rate(runs: Mapping[tuple[int, int], Run], size: tuple[int, int]) -> str:
    return f"{runs[size].rest / size[0]:.2f} requests a second and supervisor"


# --- many that start together ----------------------------------------------------------------


def _run(on: world.World, members: int, shards: int) -> Run:
    prefix = f"zk2etcd/{members}x{shards}"
    names = [f"member{number:02d}" for number in range(members)]
    with contextlib.ExitStack() as closing:
        hosts = min(cpus.usable(), members)
        parts = [names[host::hosts] for host in range(hosts)]
        found = [closing.enter_context(_host(on, prefix, shards, part)) for part in parts]
        for host in found:
            _tell(host)
        settled, owned = _settled(on, prefix, shards, members)
        time.sleep(SETTLE_SECONDS)
        at, asked = time.monotonic(), arrived(on)
        time.sleep(QUIET_SECONDS)
        rest = (arrived(on) - asked) / (time.monotonic() - at)
        told = [each for host in found for each in _answer(host)]
    counts = sorted(owned.get(name, 0) for name in names)
    claims, steps = max(claims for claims, _ in told), sum(steps for _, steps in told)
    return Run(settled, (counts[0], counts[-1]), claims, rest, steps)


@contextlib.contextmanager
def _host(
    on: world.World, prefix: str, shards: int, names: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    module = [sys.executable, "-m", "benchmarks.stand_ins", on.etcd.url, prefix, str(shards)]
    pipe = subprocess.PIPE
    running = subprocess.Popen(
        [*module, *names], env=supervisors.environment(), text=True, stdin=pipe, stdout=pipe
    )
    try:
        assert running.stdout is not None
        if running.stdout.readline() != "there\n":
            raise AssertionError("the members did not start")
        yield running
    finally:
        running.kill()
        running.communicate()


def _tell(host: subprocess.Popen[str]) -> None:
    assert host.stdin is not None
    host.stdin.write("\n")
    host.stdin.flush()


def _answer(host: subprocess.Popen[str]) -> list[tuple[int, float]]:
    """Of each of its members: claims, and seconds of processors for decisions."""
    _tell(host)
    assert host.stdout is not None
    answer: list[tuple[int, float]] = json.loads(host.stdout.readline())
    return answer


def _settled(
    on: world.World, prefix: str, shards: int, members: int
) -> tuple[float, collections.Counter[str]]:
    """Seconds until nothing has changed any more, and how many are each one's."""
    began = changed = time.monotonic()
    before: dict[bytes, int] = {}
    while len(before) < shards or time.monotonic() - changed < STILL_SECONDS:
        now, found = time.monotonic(), _owners(on, prefix, keys_only=True)
        if (tokens := {kv.key: kv.mod_revision for kv in found}) != before:
            before, changed = tokens, now
        world.pause(began, _LOOK_SECONDS, f"not settled: {members} with {shards}")
    said = (records.decode(kv.value, kv.key) for kv in _owners(on, prefix))
    counts = collections.Counter(str(each["instance"]) for each in said)
    return changed - began, counts


def _owners(on: world.World, prefix: str, *, keys_only: bool = False) -> Sequence[rpc.KeyValue]:
    start, end = records.Keys(prefix).all_of("owners")
    asked = rpc.RangeRequest(key=start, range_end=end, keys_only=keys_only)
    return list(rpc.KVStub(on.channel).Range(asked, timeout=10).kvs)


def arrived(on: world.World) -> float:
    """Messages that etcd has received from clients until now."""
    with urllib.request.urlopen(f"{on.etcd.url}/metrics", timeout=10) as answer:
        return sum(float(count) for _, count in _ARRIVED.findall(answer.read().decode()))


# --- one that has nothing --------------------------------------------------------------------


def _idle(on: world.World, prefixes: int = 1_000) -> figures.Figure:
    """Requests of a real supervisor which shares, where another one has all and shares nothing."""
    state = "zk2etcd/idle"
    configured = stand_ins.shards(prefixes)
    stub = rpc.LeaseStub(on.channel)
    lease = stub.LeaseGrant(rpc.LeaseGrantRequest(TTL=600), timeout=10).ID
    keys = records.Keys(state)
    other = messages.Identity("other", "w0", 1)
    puts = [(keys.member("other"), records.encode({"instance": "other"}))]
    puts += [(keys.owner(id_), owners.document(other, 1, each)) for id_, each in configured.items()]
    kv = rpc.KVStub(on.channel)
    for key, value in puts:
        kv.Put(rpc.PutRequest(key=key, value=value, lease=lease), timeout=10)
    paths = [shard.source for shard in configured.values()]
    its = {"prefix": state}
    with on.supervisor(*paths, state=its, cluster={"mode": "share"}) as supervisor:
        supervisor.start()
        time.sleep(SETTLE_SECONDS)
        at, asked = time.monotonic(), arrived(on)
        time.sleep(QUIET_SECONDS)
        rest = (arrived(on) - asked) / (time.monotonic() - at)
        owned = sum(shard["owned"] for shard in supervisor.status()["shards"])
        if owned:
            raise AssertionError(f"{owned} shards are its own")
    stub.LeaseRevoke(rpc.LeaseRevokeRequest(ID=lease), timeout=10)
    what = f"at rest, one of {prefixes:,} prefixes that has none of them"
    return figures.Figure(what, rest, "requests/s", IDLE_TARGET, "a real supervisor")
