"""Strangers who change and delete what is mirrored, without any full sync that would find it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Mapping, Sequence

import pytest

from tests import polling
from tests.acceptance import both_sides, installed
from tests.acceptance.conftest import Mirrors
from tests.faults import watcher
from zk2etcd.sandbox import servers

ROOT = "/drift"
NODES, HURT = 1500, 1000
WATCH = {"drift": "watch", "full_sync_interval": "0s"}
_MOST = 10.0
"""Seconds until a key is right again, on a machine that others load; over a worker's restart, too.
That two are enough, and a tenth of one mostly, `python -m benchmarks --only drift` shows."""


def _late(events: Sequence[watcher.Event], wanted: Mapping[bytes, bytes]) -> list[float]:
    """How long each key was not as it should be, in seconds, each time; endless if it still is."""
    since: dict[bytes, float] = {}
    lasted = []
    for event in events:
        if event.key not in wanted:
            continue
        if event.value != wanted[event.key]:
            since.setdefault(event.key, event.at)
        elif event.key in since:
            lasted.append(event.at - since.pop(event.key))
    return [*lasted, *(float("inf") for _ in since)]


def _pass(seconds: float) -> None:
    end = time.monotonic() + seconds
    polling.until(lambda: time.monotonic() > end, seconds + 5, every=0.001)


def _is_watched(supervisor: installed.Supervisor, root: str) -> bool:
    told = supervisor.shards()[root]["drift"]
    return told is not None and told["why"] is None


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.timeout(240)
def test_strangers_are_put_right_under_load_and_over_a_kill(
    mirrors: Mirrors, etcd: servers.Etcd
) -> None:
    """A thousand keys are changed or deleted by somebody else, while 200 others a second change in
    ZooKeeper, and the worker is killed half-way: all are put right, and none is touched that was
    not hurt."""
    supervisor = mirrors.following(ROOT, nodes=NODES, sync=WATCH, workers={"count": 1})
    polling.until(lambda: _is_watched(supervisor, ROOT), 20)
    wanted = {key: value for key, value in mirrors.sides.expected(ROOT).items() if key != b"/drift"}
    luck = random.Random(13)
    chosen = luck.sample(sorted(wanted), HURT)
    before = mirrors.sides.etcd.below(ROOT)
    told = watcher.Watcher([etcd.address], since=mirrors.sides.etcd.revision())
    try:
        with both_sides.Load(mirrors.zookeeper.address, f"{ROOT}/load", 200):
            for number, key in enumerate(chosen):
                if luck.random() < 0.5:
                    mirrors.sides.etcd.delete(key)
                else:
                    mirrors.sides.etcd.put(key, b"theirs")
                if number == HURT // 2:
                    os.kill(supervisor.worker_pids()["w0"], signal.SIGKILL)
                _pass(0.003)
            polling.until(
                lambda: wanted.items() <= mirrors.sides.etcd.values(ROOT).items(), 60, every=0.1
            )
        polling.until(lambda: told.revision >= mirrors.sides.etcd.revision(), 20)
        late = _late(list(told.events), wanted)
        assert len(late) >= HURT * 0.9
        assert max(late) < _MOST, sorted(late)[-5:]
    finally:
        told.close()
    after = mirrors.sides.etcd.below(ROOT)
    hurt = {key for key in wanted if after[key] != before[key]}
    assert hurt == set(chosen)


@pytest.mark.alone
@pytest.mark.long
def test_a_war_is_named_and_slow(mirrors: Mirrors) -> None:
    """Somebody puts a key back each time that we do: it is named, and neither of us is fast."""
    root = "/drift-war"
    supervisor = mirrors.following(root, nodes=10, sync=WATCH, workers={"count": 1})
    polling.until(lambda: _is_watched(supervisor, root), 20)
    key, etcd = f"{root}/n3", mirrors.sides.etcd
    puts, end = 0, time.monotonic() + 8.0

    def theirs() -> bool:
        nonlocal puts
        if etcd.value(key) != b"theirs":
            etcd.put(key, b"theirs")
            puts += 1
        return time.monotonic() > end

    polling.until(theirs, 20)
    assert 3 <= puts <= 7
    found = supervisor.status()
    (shard,) = found["shards"]
    assert (shard["drift"]["contested"], shard["drift"]["paths"]) == (1, [key])
    assert 'zk2etcd_contested{shard="' in supervisor.ask("/metrics")[1]
    assert "somebody keeps writing" in supervisor.ask("/")[1]
    # A change in ZooKeeper waits for nothing.
    mirrors.sides.zk.set(key, b"newer")
    polling.until(lambda: etcd.value(key) == b"newer", 5)


def test_a_reload_turns_it_on_and_off(mirrors: Mirrors) -> None:
    """Off, what a stranger changes stays; on, that is put right, and what they do next."""
    root = "/drift-reload"
    off = {"drift": "full_sync", "full_sync_interval": "0s"}
    supervisor = mirrors.following(root, nodes=10, sync=off, workers={"count": 1})
    content, etcd = supervisor.content, mirrors.sides.etcd
    assert supervisor.shards()[root]["drift"] is None
    for number in range(2):
        etcd.put(f"{root}/n1", b"theirs")
        _pass(1.0)
        assert etcd.value(f"{root}/n1") == b"theirs"
        supervisor.configure(installed.laid_over(content, sync=WATCH))
        supervisor.reload()
        polling.until(lambda: _is_watched(supervisor, root), 20)
        mirrors.sides.wait_equal(root)
        etcd.put(f"{root}/n2", b"theirs%d" % number)
        etcd.delete(f"{root}/n3")
        mirrors.sides.wait_equal(root)
        supervisor.configure(content)
        supervisor.reload()
        polling.until(lambda: supervisor.shards()[root]["drift"] is None, 20)
        supervisor.wait_following()
