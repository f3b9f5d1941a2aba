"""`zk2etcd adopt` on real servers: what becomes ours, and what does not."""

from __future__ import annotations

import pathlib

import pytest

from tests import polling
from tests.integration import commands, mirroring, observing
from zk2etcd import messages

MARKS = {"ownership": "marks"}


@pytest.fixture
def adopt(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> commands.Command:
    command = commands.Command("adopt", world, tmp_path, capsys)
    command.configure(sync={"prefixes": [world.root], **MARKS})
    return command


def _base(world: mirroring.World, source: str, target: str) -> str:
    return f"{world.state}/owned/{messages.shard_id(source, target)}"


def _mirrored(world: mirroring.World) -> None:
    """As an older tool left it: equal, but for one value, one key of its own, and a missing one."""
    names = [f"n{number:03d}" for number in range(100)]
    observing.seed(world.zk, [(world.root, b""), *((world.path(name), b"v") for name in names)])
    world.etcd.put_many(world.wanted().items())
    world.etcd.put(world.path("n007"), b"older")
    world.etcd.put(world.path("gone"), b"v")
    world.etcd.delete(world.path("n008"))


def test_what_is_equal_becomes_ours(world: mirroring.World, adopt: commands.Command) -> None:
    _mirrored(world)
    before = world.etcd.below(world.root)
    assert adopt().code == 2, "it asks, and this is no terminal"
    outcome = adopt("--yes")
    assert outcome.code == 0, outcome
    assert "99 keys are equal" in outcome.out
    assert "1 have other values, and are left alone" in outcome.out
    assert "99 of 99 keys marked" in outcome.out
    assert world.etcd.below(world.root) == before, "no key was written"
    shard = commands_shard(world)
    worker = world.worker(shards=[shard])
    assert worker.follows().conflicts == 1
    polling.until(lambda: world.etcd.value(world.path("n008")) == b"v")
    for name in ("n001", "n002"):
        world.zk.set(world.path(name), b"new")
    world.zk.delete(world.path("n003"))
    polling.until(lambda: world.etcd.value(world.path("n002")) == b"new")
    polling.until(lambda: world.etcd.value(world.path("n003")) is None)
    assert world.etcd.value(world.path("n007")) == b"older"
    assert world.etcd.value(world.path("gone")) == b"v"
    base = _base(world, world.root, world.root)
    assert world.etcd.value(f"{base}{world.path('n003')}") is None, "its mark went too"
    # Beside a mirror that runs: its next full sync knows.
    world.etcd.put(world.path("n007"), b"v")
    assert "1 of 1 keys marked" in adopt("--yes").out
    worker.full_sync()
    worker.wait(lambda report: report.conflicts == 0)
    world.zk.set(world.path("n007"), b"new")
    polling.until(lambda: world.etcd.value(world.path("n007")) == b"new")
    assert "nothing to mark" in adopt("--yes").out


def commands_shard(world: mirroring.World) -> messages.Shard:
    shard = mirroring.shard(world.root, world.root)
    return messages.Shard(
        messages.shard_id(world.root, world.root), shard.source, shard.target, ownership="marks"
    )


def test_another_mirror_s_keys_are_its_own_until_it_is_named(
    world: mirroring.World, adopt: commands.Command
) -> None:
    one, other, to = world.path("one"), world.path("other"), world.path("to")
    world.zk.create(world.root, b"")
    for source in (one, other):
        observing.seed(world.zk, [(source, b""), (f"{source}/a", b"v"), (f"{source}/b", b"v")])
    former = messages.Shard(messages.shard_id(one, to), one, to, ownership="marks")
    worker = world.worker(shards=[former])
    worker.follows()
    worker.drain()
    adopt.configure(sync={"prefixes": [{"from": other, "to": to}], **MARKS})
    said = adopt("--yes").out
    assert f"3 are marked as those of {former.id}, and left to it" in said
    assert "nothing to mark" in said
    unknown = adopt("--yes", "--from", "nobody")
    assert unknown.code == 2
    assert former.id in unknown.err
    assert "3 of 3 keys marked" in adopt("--yes", "--from", former.id).out
    names = world.etcd.values(_base(world, one, to))
    assert list(names) == [_base(world, one, to).encode()], "the former marks are gone"
    heir = messages.Shard(messages.shard_id(other, to), other, to, ownership="marks")
    worker = world.worker(shards=[heir])
    assert worker.follows().conflicts == 0
    world.zk.delete(f"{other}/a")
    polling.until(lambda: world.etcd.value(f"{to}/a") is None)
