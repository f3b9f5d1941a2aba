"""Keys that are ours by a mark: beside strangers and another mirror, in one range."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from tests import polling
from tests.integration import mirroring, observing
from zk2etcd import messages


def marked(source: str, target: str, **fields: object) -> messages.Shard:
    shard = mirroring.shard(source, target)
    return dataclasses.replace(shard, ownership="marks", **fields)  # type: ignore[arg-type]


def base(world: mirroring.World, shard: messages.Shard) -> str:
    return f"{world.state}/owned/{messages.shard_id(shard.source, shard.target)}"


def marks(world: mirroring.World, shard: messages.Shard) -> set[str]:
    """Keys that have a mark."""
    start = base(world, shard)
    return {key.decode()[len(start) :] for key in world.etcd.values(start) if key != start.encode()}


def grown(world: mirroring.World, names: Sequence[str], below: str = "") -> None:
    observing.seed(
        world.zk, [(world.path(below, name).replace("//", "/"), b"ours") for name in names]
    )


@pytest.fixture
def shard(world: mirroring.World) -> messages.Shard:
    return marked(world.root, world.root)


def _values(world: mirroring.World) -> Mapping[bytes, bytes]:
    return world.etcd.values(world.root)


def test_what_we_create_is_marked_and_what_others_have_is_left(
    world: mirroring.World, shard: messages.Shard
) -> None:
    world.zk.create(world.root, b"")
    names = [f"n{number:03d}" for number in range(300)]
    grown(world, names)
    theirs = {world.path(name): b"theirs" for name in ("n005", "n250", "other", "n010/below")}
    for key, value in theirs.items():
        world.etcd.put(key, value)
    worker = world.worker(shards=[shard])
    report = worker.follows()
    values = _values(world)
    assert {key: values[key.encode()] for key in theirs} == theirs
    ours = {world.root, *map(world.path, names)} - theirs.keys()
    assert marks(world, shard) == ours
    assert all(
        values[world.path(name).encode()] == b"ours" for name in names if world.path(name) in ours
    )
    assert report.conflicts == 2
    assert set(report.conflict_paths) == {world.path("n005"), world.path("n250")}
    # Live: of both, only ours is changed; what theirs is in the way of is told.
    world.zk.set(world.path("n006"), b"new")
    world.zk.set(world.path("n005"), b"new")
    world.zk.create(world.path("other"), b"ours")
    world.zk.delete(world.path("n250"))
    world.zk.delete(world.path("n007"))
    polling.until(lambda: world.etcd.value(world.path("n006")) == b"new")
    polling.until(lambda: world.etcd.value(world.path("n007")) is None)
    worker.wait(lambda r: set(r.conflict_paths) == {world.path("n005"), world.path("other")})
    assert {key: world.etcd.value(key) for key in theirs} == theirs
    assert marks(world, shard) == ours - {world.path("n007")}
    # What goes becomes ours within a full sync; what is ours and was deleted comes back.
    world.etcd.delete(world.path("n005"))
    world.etcd.delete(world.path("n020"))
    world.etcd.put(world.path("n021"), b"tampered")
    worker.full_sync()
    polling.until(lambda: world.etcd.value(world.path("n005")) == b"new")
    assert world.etcd.value(world.path("n020")) == b"ours"
    assert world.etcd.value(world.path("n021")) == b"ours"
    worker.full_sync()
    report = worker.wait(lambda r: r.conflicts == 1)
    assert marks(world, shard) == ours - {world.path("n007")} | {world.path("n005")}
    worker.close()


def test_another_s_key_in_the_place_of_ours_is_theirs(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """Deleted and made anew by somebody else: our mark says nothing of it, and is collected."""
    world.zk.create(world.root, b"")
    grown(world, ["a", "b", "c", "d"])
    worker = world.worker(shards=[shard])
    worker.follows()
    for name in ("a", "b"):
        world.etcd.delete(world.path(name))
        world.etcd.put(world.path(name), b"theirs")
    world.zk.set(world.path("a"), b"new")
    world.zk.delete(world.path("b"))
    worker.wait(lambda r: r.conflicts == 1)
    world.zk.set(world.path("c"), b"new")
    polling.until(lambda: world.etcd.value(world.path("c")) == b"new")
    assert world.etcd.value(world.path("a")) == world.etcd.value(world.path("b")) == b"theirs"
    worker.full_sync()
    left = {world.root, *map(world.path, ("c", "d"))}
    polling.until(lambda: marks(world, shard) == left)
    # Nor is it after a start, which knows nothing by heart.
    worker.close()
    again = world.worker(
        shards=[shard], identity=dataclasses.replace(mirroring.FIRST, incarnation=2)
    )
    assert again.follows().conflicts == 1
    world.etcd.delete(world.path("a"))
    world.zk.set(world.path("a"), b"newer")
    polling.until(lambda: world.etcd.value(world.path("a")) == b"newer")
    again.wait(lambda r: r.conflicts == 0)
    assert marks(world, shard) == {*left, world.path("a")}


def test_two_mirrors_share_one_range(world: mirroring.World) -> None:
    """Each has its own; what both have is whose it was first, and the other's once that one gives
    it up."""
    one, other = world.path("one"), world.path("other")
    to = world.path("to")
    for source in (one, other):
        world.zk.create(source, b"", makepath=True)
        observing.seed(
            world.zk, [(f"{source}/own{source[-1]}", b"v"), (f"{source}/both", source.encode())]
        )
    shards = [marked(one, to), marked(other, to)]
    worker = world.worker(shards=shards)
    worker.follows()
    values = world.etcd.values(to)
    assert {key.decode() for key in values} == {to, f"{to}/owne", f"{to}/ownr", f"{to}/both"}
    first = 0 if values[f"{to}/both".encode()] == one.encode() else 1
    worker.wait(lambda r: r.conflicts > 0, number=1 - first)
    world.zk.delete(f"{(one, other)[first]}/both")
    polling.until(lambda: world.etcd.value(f"{to}/both") is None)
    worker.full_sync()
    polling.until(lambda: world.etcd.value(f"{to}/both") == (other, one)[first].encode())
