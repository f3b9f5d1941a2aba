"""How long keys that a stranger changed or deleted are wrong, where a watch tells of it.

Random keys of a tree are hurt while 1,000 nodes beside it change each second: one after another,
and all at once; while the worker lives, and over a `kill -9` of it. Each is timed from outside:
from before the stranger's write is sent to when a watch tells that the key is as it was.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import etcd3.etcdrpc as rpc
import kazoo.client

from benchmarks import bare_etcd, figures, world
from zk2etcd.sandbox import supervisor as supervisors

PER_SECOND = 1_000
NODES = 10_000
_KILLS = 3
"""After which a worker is started again without a delay, at most."""
_PACE = 100
"""Keys that are hurt each second, one after another."""
_BUSY = 500
_AT_ONCE = 10
_ROOT = "/strangers"
_TREE, _LOAD = f"{_ROOT}/tree", f"{_ROOT}/load"
_WAIT = 30.0
_HALF, _MOST, _WORST = 0.1, 1.0, 2.0
"""Seconds: of half of the keys, of 99 of 100, of each."""

Supervisor = supervisors.Supervisor
Hurts = Callable[["Scene", Sequence[bytes]], dict[bytes, float]]


@dataclasses.dataclass
class Scene:
    """A mirror that follows, what its keys hold, and a watch of them."""

    on: world.World
    mirror: Supervisor
    watch: bare_etcd.Watch
    wanted: Mapping[bytes, bytes]
    luck: random.Random

    def right(self, hurt: Mapping[bytes, float]) -> dict[bytes, float]:
        """When each of these was as it should be again."""
        found: dict[bytes, float] = {}
        while len(found) < len(hurt):
            key, value, at = self.watch.seen.get(timeout=_WAIT)
            if key in hurt and value == self.wanted[key]:
                found.setdefault(key, at)
        return found

    def worse(self) -> bytes | None:
        """What a stranger makes of it: another value, or nothing."""
        return b"theirs" if self.luck.random() < 0.5 else None


def measure(on: world.World, keys: int, runs: int) -> list[figures.Figure]:
    """:param runs: kills, of which the worst counts."""
    busy = os.getloadavg()[0]  # Before anything of ours: others may share the machine.
    on.empty_etcd()
    for path in (_ROOT, _LOAD):
        on.writer.create(path)
    on.seed(_TREE, NODES)
    for number in range(_BUSY):
        on.writer.create(f"{_LOAD}/n{number}", b"0")
    with _load(on) as load:
        with _scene(on) as scene:
            found = [
                *_alive(scene, keys, "one by one", _one_by_one, (_HALF, _MOST)),
                *_alive(scene, keys, "all at once", _at_once, (None, None)),
            ]
        for how, hurts in (("one by one", _one_by_one), ("all at once", _at_once)):
            with _scene(on) as scene:  # Each worker's first restarts come at once.
                found += _killed(scene, keys, min(runs, _KILLS), how, hurts)
        done = load()
    what = f"{done:,.0f} changes a second beside it, load average before {busy:.1f}"
    return [dataclasses.replace(found[0], detail=f"{found[0].detail}; {what}"), *found[1:]]


@contextlib.contextmanager
def _scene(on: world.World) -> Iterator[Scene]:
    below = f"{_TREE}/".encode()
    with watching(on, _ROOT, "watch") as mirror:
        pages = bare_etcd.pages(on.channel, _TREE.encode())
        wanted = {kv.key: kv.value for page in pages for kv in page if kv.key.startswith(below)}
        watch = bare_etcd.Watch(on.channel, _TREE.encode())
        yield Scene(on, mirror, watch, wanted, random.Random(7))
        watch.close()
        now = {
            kv.key: kv.value for page in bare_etcd.pages(on.channel, _TREE.encode()) for kv in page
        }
        if any(now[key] != value for key, value in wanted.items()):
            raise AssertionError("a key is not as it was")


@contextlib.contextmanager
def watching(on: world.World, path: str, drift: str) -> Iterator[Supervisor]:
    """A mirror that follows, with `sync.drift` as it is given."""
    with on.supervisor(path) as supervisor:
        sync = {**supervisor.content["sync"], "drift": drift}
        supervisor.configure({**supervisor.content, "sync": sync})
        supervisor.start()
        supervisor.wait_following()
        yield supervisor


# --- what strangers do ---------------------------------------------------------------------------


def _one_by_one(scene: Scene, keys: Sequence[bytes]) -> dict[bytes, float]:
    kv, hurt, due = rpc.KVStub(scene.on.channel), dict[bytes, float](), time.monotonic()
    for key in keys:
        time.sleep(max(0.0, due - time.monotonic()))
        due += 1 / _PACE
        value, hurt[key] = scene.worse(), time.monotonic()
        if value is None:
            kv.DeleteRange(rpc.DeleteRangeRequest(key=key), timeout=_WAIT)
        else:
            kv.Put(rpc.PutRequest(key=key, value=value), timeout=_WAIT)
    return hurt


def _at_once(scene: Scene, keys: Sequence[bytes]) -> dict[bytes, float]:
    """In as few Txns as etcd takes them."""
    changes, puts = [(key, scene.worse()) for key in keys], bare_etcd.Puts(scene.on.channel)
    now = time.monotonic()
    puts.add(changes)
    puts.flush()
    return dict.fromkeys(keys, now)


# --- how long it lasts ---------------------------------------------------------------------------


def _alive(
    scene: Scene, keys: int, how: str, hurts: Hurts, bounds: tuple[float | None, float | None]
) -> list[figures.Figure]:
    hurt = hurts(scene, _some(scene, keys))
    right = scene.right(hurt)
    times = [right[key] - at for key, at in hurt.items()]
    return _spread(f"{keys:,} random keys hurt {how}", times, bounds, f"of {_of(scene)} keys")


def _spread(
    name: str, times: Sequence[float], bounds: tuple[float | None, float | None], detail: str
) -> list[figures.Figure]:
    half, most = (figures.percentile(times, percent) for percent in (50, 99))
    return [
        figures.Figure(f"{name}: right after, p50", half, "s", bounds[0], detail),
        figures.Figure("  p99", most, "s", bounds[1], detail),
        figures.Figure("  worst", max(times), "s", _WORST, detail),
    ]


def _killed(scene: Scene, keys: int, kills: int, how: str, hurts: Hurts) -> list[figures.Figure]:
    """Half of them are hurt before the kill, half after it."""
    whole, after, gaps = list[float](), list[float](), list[float]()
    for _ in range(kills):
        some = _some(scene, keys)
        (pid,) = scene.mirror.worker_pids().values()
        hurt = hurts(scene, some[: keys // 2])
        killed, wall = time.monotonic(), time.time()
        os.kill(pid, signal.SIGKILL)
        hurt |= hurts(scene, some[keys // 2 :])
        right = scene.right(hurt)
        gaps.append(_follows_again(scene.mirror, wall) - wall)
        whole += [right[key] - at for key, at in hurt.items()]
        after += [right[key] - max(at, killed + gaps[-1]) for key, at in hurt.items()]
        scene.mirror.wait_following()
    name = f"{keys:,} hurt {how}, over a kill -9 of the worker"
    detail = f"of {_of(scene)} keys, {kills} kills; followed again after {_listed(gaps)}"
    what = "  from when the new worker follows, worst"
    beside = "0 where its base put all right"
    return [
        *_spread(name, whole, (None, None), detail),
        figures.Figure(what, max(0.0, *after), "s", _WORST, beside),
    ]


def _some(scene: Scene, keys: int) -> list[bytes]:
    return scene.luck.sample(sorted(scene.wanted), keys)


def _of(scene: Scene) -> str:
    return f"{len(scene.wanted):,}"


def _listed(times: Sequence[float]) -> str:
    return ", ".join(figures.seconds(each) for each in times)


def _follows_again(mirror: Supervisor, since: float) -> float:
    """The wall clock when the base ended that came after `since`."""
    deadline = time.monotonic() + _WAIT
    while time.monotonic() < deadline:
        for line in mirror.log.read_text("utf-8").splitlines():
            if '"base done"' in line:
                at = datetime.datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
                if at > since:
                    return at
        time.sleep(0.05)
    raise AssertionError(f"no base within {_WAIT:g} s")


@contextlib.contextmanager
def _load(on: world.World) -> Iterator[Callable[[], float]]:
    """So many changes a second, as far as this machine gets round to them; how many they were."""
    client, over = kazoo.client.KazooClient(on.zookeeper.address), threading.Event()
    client.start(15)
    began, numbers = time.monotonic(), itertools.count()
    done = 0

    def run() -> None:
        nonlocal done
        due = began
        while not over.wait(max(0.0, due - time.monotonic())):
            due += _AT_ONCE / PER_SECOND
            some = list(itertools.islice(numbers, _AT_ONCE))
            for at in [client.set_async(f"{_LOAD}/n{n % _BUSY}", b"%d" % n) for n in some]:
                at.get(timeout=_WAIT)
            done += len(some)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield lambda: done / (time.monotonic() - began)
    finally:
        over.set()
        thread.join(_WAIT)
        client.stop()
        client.close()
