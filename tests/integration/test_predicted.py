"""Full syncs that read what etcd has, and list only what that cannot be all of: whatever is done to
etcd behind the mirror's back is found, and nothing else."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd_workers.walk.predicted import echo, walk as predicted

_SERVICES = ("a", "a-b", "a.b", "a0", "b")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[echo.Echo]:
    """The walks that were of that kind, however few keys there are."""
    made: list[echo.Echo] = []

    class Echo(echo.Echo):
        def __init__(self, *given: object) -> None:
            super().__init__(*given)  # type: ignore[arg-type]
            made.append(self)

    monkeypatch.setattr(predicted, "MANY", 1)
    monkeypatch.setattr(echo, "Echo", Echo)
    return made


def _paths(world: mirroring.World) -> Iterator[str]:
    for service in _SERVICES:
        yield world.path(service)
        for folder in ("providers", "routers"):
            yield world.path(service, folder)
        for number in range(40):
            yield world.path(service, "providers", f"p{number:02d}")


@pytest.fixture
def worker(world: mirroring.World, asked: list[echo.Echo]) -> mirroring.Worker:
    assert asked == []
    world.zk.create(world.root, b"root")
    observing.seed(world.zk, ((path, path.encode()) for path in _paths(world)))
    worker = world.worker(sync={"delete_guard": {"min_deletes": 10_000}})
    worker.follows()
    world.equal()
    return worker


def _key(world: mirroring.World, *names: str) -> bytes:
    return world.path(*names).encode()


def _one_folder(world: mirroring.World) -> None:
    world.etcd.delete_below(world.path("a-b"))


def _folders_own_keys(world: mirroring.World) -> None:
    for service in _SERVICES:
        world.etcd.delete(world.path(service))
        world.etcd.delete(world.path(service, "providers"))


def _the_root(world: mirroring.World) -> None:
    world.etcd.delete(world.root)


def _all_but_one(world: mirroring.World) -> None:
    kept = _key(world, "b", "providers", "p07")
    for key in world.etcd.below(world.root):
        if key != kept:
            world.etcd.delete(key)


def _others(world: mirroring.World) -> None:
    for names in (("0",), ("zz", "y"), ("a", "x"), ("a", "providers", "p07", "deep", "er")):
        world.etcd.put(_key(world, *names), b"not ours")


def _values(world: mirroring.World) -> None:
    for number in range(0, 40, 3):
        world.etcd.put(_key(world, "a0", "providers", f"p{number:02d}"), b"changed")


def _here_and_there(world: mirroring.World) -> None:
    luck = random.Random(7)
    for path in list(_paths(world)):
        if luck.random() < 0.2:
            world.etcd.delete(path)
        if luck.random() < 0.1:
            world.etcd.put(path + ("/x" if luck.random() < 0.5 else ""), b"changed")


@pytest.mark.parametrize(
    "damage",
    [_one_folder, _folders_own_keys, _the_root, _all_but_one, _others, _values, _here_and_there],
)
def test_what_was_done_to_etcd_is_found(
    world: mirroring.World,
    worker: mirroring.Worker,
    asked: list[echo.Echo],
    damage: Callable[[mirroring.World], None],
) -> None:
    damage(world)
    worker.full_sync()
    assert len(asked) == 1
    world.equal()
    report = worker.full_sync()
    assert report.last_full_sync is not None
    assert (report.last_full_sync.put, report.last_full_sync.delete) == (0, 0)
    assert report.unsyncable_total == 0
    assert report.keys == len(world.wanted())


def test_while_nodes_come_and_go_nothing_is_lost(
    world: mirroring.World, worker: mirroring.Worker, asked: list[echo.Echo]
) -> None:
    """Keys of nodes that were there all the time are never deleted."""
    steady = {path.encode() for path in _paths(world)}
    before = world.etcd.revision()
    ended = threading.Event()

    def churn() -> None:
        luck = random.Random(3)
        there: set[str] = set()
        while not ended.is_set():
            folder = world.path(luck.choice(_SERVICES), luck.choice(("providers", "routers")))
            path = f"{folder}/c{luck.randrange(30):02d}"
            if path in there:
                there.remove(path)
                world.zk.delete(path)
            else:
                there.add(path)
                world.zk.create(path, b"new")

    thread = threading.Thread(target=churn, daemon=True)
    thread.start()
    try:
        for _ in range(12):
            worker.full_sync()
    finally:
        ended.set()
        thread.join(10)
    assert len(asked) == 12
    world.equal()
    assert not steady.intersection(world.etcd.written_since(before))


def test_what_is_large_is_read_as_zookeeper_says(
    world: mirroring.World, worker: mirroring.Worker, asked: list[echo.Echo]
) -> None:
    """etcd bounds a page by a number of keys, so their sizes are to be known."""
    path = world.path("a", "providers", "p00")
    world.zk.set(path, b"x" * 20_000)
    polling.until(lambda: world.etcd.value(path) == b"x" * 20_000, what="it is mirrored")
    worker.full_sync()
    assert not asked
    world.zk.set(path, b"small")
    world.equal()
    worker.full_sync()
    worker.full_sync()
    assert len(asked) == 1
