"""What piles up when one side is slow or silent, and that it has an end."""

from __future__ import annotations

import contextlib
import multiprocessing
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages
from zk2etcd.sandbox import servers
from zk2etcd_workers import main
from zk2etcd_workers.etcd import client, wire
from zk2etcd_workers.mirror import full_sync, pipeline, repair
from zk2etcd_workers.shard import dirty_paths

MIB = 1024 * 1024


def test_an_answer_that_never_comes_does_not_leave_its_path_busy(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """grpc keeps a deadline for every call; this is for a callback that is lost all the same."""
    lost = threading.Event()
    send = client.Client.txn_soon

    def losing(self: Any, txn: wire.Txn, done: client.Done) -> None:
        puts = [op for op in txn.success if isinstance(op, wire.Put)]
        if not lost.is_set() and any(put.value == b"lost" for put in puts):
            lost.set()
            return
        send(self, txn, done)

    monkeypatch.setattr(client.Client, "txn_soon", losing)
    monkeypatch.setattr(pipeline, "LOST_AFTER", 0.3)
    world.zk.create(world.root, b"")
    worker = world.worker(etcd={"request_timeout": 1.0})
    worker.follows()
    world.zk.set(world.root, b"lost")
    assert lost.wait(20)
    world.equal()
    polling.until(lambda: world.etcd.value(world.root) == b"lost", 5)


def test_a_full_sync_does_not_run_ahead_of_its_repairs(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An etcd that lost everything differs in every path."""
    monkeypatch.setattr(full_sync, "_MOST_WAITING", 300)
    most = [0]
    begin = repair.Repairs.begin

    def watched(self: repair.Repairs) -> None:
        most[0] = max(most[0], len(self._nominated))
        begin(self)

    monkeypatch.setattr(repair.Repairs, "begin", watched)
    world.zk.create(world.root, b"")
    count = 3000
    observing.seed(world.zk, ((world.path(f"n{number:05d}"), b"v") for number in range(count)))
    worker = world.worker()
    worker.follows()
    world.etcd.put_many((world.path(f"n{number:05d}"), b"other") for number in range(count))
    worker.full_sync(40)
    world.equal()
    assert worker.counts.fixes == {"put": count, "delete": 0}
    assert 100 <= most[0] <= 300 + 2 * 100


@pytest.mark.parametrize(("size", "most"), [(10, 300), (200_000, 60)])
def test_the_next_repairs_are_read_while_others_are_written_if_values_are_small(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch, size: int, most: int
) -> None:
    looks, under_way, beside = repair.Repairs._look, list[int](), list[bool]()

    def watched(self: repair.Repairs, asked: Any) -> None:
        beside.append(bool(self._reading or self._writing))
        looks(self, asked)
        read = sum(len(each.paths) for _, each in self._reading.values())
        under_way.append(read + len(self._writing))

    monkeypatch.setattr(repair.Repairs, "_look", watched)
    world.zk.create(world.root, b"")
    nodes = [(world.path(f"n{number:05d}"), b"v" * size) for number in range(2_000)]
    if size > 1_000:
        del nodes[60:]
        for path, value in nodes:
            world.zk.create(path, value)
    else:
        observing.seed(world.zk, nodes)
    worker = world.worker()
    worker.follows()
    world.etcd.put_many((path, b"other") for path, _ in nodes)
    worker.full_sync(40)
    world.equal()
    assert max(under_way) <= most
    assert any(beside) == (size < 1_000)


# --- an etcd that stands still -------------------------------------------------------------------


class Spawned:
    """A worker in a process of its own, so that its memory can be told from the test's."""

    def __init__(
        self, world: mirroring.World, folder: pathlib.Path, queue: int, **sections: Any
    ) -> None:
        """:param folder: for the files of its counters.
        :param queue: dirty paths beyond which it overflows.
        """
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        shard = mirroring.shard(world.root, world.root)
        settings = world.config(**sections)
        spec = messages.WorkerSpec(mirroring.FIRST, settings, str(folder), "error")
        self.process = context.Process(target=_small_queue, args=(spec, far, queue), daemon=True)
        self.process.start()
        far.close()
        self.pipe.send(messages.Assign(1, (shard,), {}, settings))
        self.report: messages.ShardReport | None = None
        self._usage = psutil.Process(self.process.pid)

    def hears(self) -> messages.ShardReport | None:
        """The latest report."""
        while self.pipe.poll():
            for each in self.pipe.recv().shards:
                self.report = each
        return self.report

    def phase(self) -> str:
        report = self.hears()
        return report.phase if report else ""

    def resident(self) -> int:
        return int(self._usage.memory_info().rss)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.pipe.send(messages.Drain(3.0))
        deadline = time.monotonic() + 8
        while self.process.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(EOFError, OSError):
                self.hears()
            self.process.join(0.05)
        self.process.kill()
        self.process.join(5)
        self.pipe.close()


def _small_queue(spec: messages.WorkerSpec, pipe: Any, most: int) -> None:
    """A worker whose queue of dirty paths overflows within the test."""
    dirty_paths.MOST = most
    main.main(spec, pipe)


class Storm:
    """Ever new nodes with heavy values, and ever new values for old ones, as fast as ZooKeeper
    takes them; in all at most `most` nodes."""

    def __init__(self, world: mirroring.World, most: int, size: int) -> None:
        self._client = observing.connected(world.zookeeper)
        self._world, self._most, self._size = world, most, size
        self._stop = threading.Event()
        self.changes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            transaction = self._client.transaction()
            # ZooKeeper keeps the last 500 transactions in memory.
            for _ in range(40):
                number, value = self.changes % self._most, b"%d" % self.changes
                path = self._world.path(f"s{number:06d}")
                value = value.ljust(self._size, b".")
                if self.changes < self._most:
                    transaction.create(path, value)
                else:
                    transaction.set_data(path, value)
                self.changes += 1
            failed = [each for each in transaction.commit() if isinstance(each, Exception)]
            assert not failed, failed[:3]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(20)
        self._client.stop()
        self._client.close()


@pytest.fixture
def own(fresh_zookeeper: servers.ZooKeeper, fresh_etcd: servers.Etcd) -> Iterator[mirroring.World]:
    with mirroring.World(fresh_zookeeper.address, fresh_etcd.address, "/own") as world:
        yield world


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nodes", "seconds", "most"),
    [(8_000, 4, 25), (25_000, 12, 60)],
)
@pytest.mark.long
def test_a_frozen_etcd_under_churn_does_not_make_a_worker_grow(
    own: mirroring.World,
    fresh_etcd: servers.Etcd,
    tmp_path: pathlib.Path,
    nodes: int,
    seconds: float,
    most: int,
) -> None:
    """The dirty paths of a short queue, Txns under way and two more that wait: about 20 MiB. What
    changes meanwhile is more than `most` MiB."""
    own.zk.create(own.root, b"")
    # The deadline is long on purpose: as long as it runs, the shard follows, and could read on.
    worker = Spawned(own, tmp_path, nodes * 4 // 5, etcd={"request_timeout": 8.0})
    storm = None
    try:
        polling.until(lambda: worker.phase() == "following", 30)
        storm = Storm(own, nodes, 4_000)
        polling.until(lambda: storm is not None and storm.changes > nodes // 6, 30)
        before = worker.resident()
        fresh_etcd.freeze()
        seen, until = before, time.monotonic() + seconds
        while time.monotonic() < until:
            seen = max(seen, worker.resident())
            worker.hears()
            time.sleep(0.05)
        changes = storm.changes
        storm.stop()
        storm = None
        fresh_etcd.thaw()
        assert changes * 4_000 > most * MIB, "too little happened to show anything"
        assert seen - before < most * MIB, f"grew by {(seen - before) // MIB} MiB"
        own.equal(40)
        polling.until(lambda: worker.phase() == "following", 30)
    finally:
        fresh_etcd.thaw()
        if storm is not None:
            storm.stop()
        worker.close()
