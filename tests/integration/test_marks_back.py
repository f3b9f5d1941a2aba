"""From `range` to `marks` and back: what is refused, lest others' keys go, whatever was written."""

from __future__ import annotations

import dataclasses
import pathlib

import pytest

from tests.integration import commands, marking, mirroring
from zk2etcd import messages

MARKS = {"ownership": "marks"}


@pytest.fixture
def shard(world: mirroring.World) -> messages.Shard:
    return marking.marked(world.root, world.root)


def test_marks_that_wrote_nothing_are_a_reason_too(
    world: mirroring.World, shard: messages.Shard
) -> None:
    """All was equal, or somebody else's, while it went by marks: nothing was put. But others came
    to rely on it."""
    marking.grown(world, ["a", "b"])
    plain = dataclasses.replace(shard, ownership="range")
    worker = world.worker(shards=[plain])
    worker.follows()
    worker.drain()
    worker = world.worker(shards=[shard], identity=marking.SECOND)
    assert worker.follows().conflicts == 3
    world.etcd.put(world.path("theirs"), b"x")
    worker.drain()
    worker = world.worker(shards=[plain])
    report = worker.wait(lambda r: r.error is not None or r.phase == "following")
    assert "sync.ownership: marks" in str(report.error)
    assert world.etcd.value(world.path("theirs")) == b"x"


def test_a_repair_by_range_is_refused_as_well(
    world: mirroring.World,
    shard: messages.Shard,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    marking.grown(world, ["a", "b"])
    world.etcd.put(world.path("b"), b"theirs")
    world.etcd.put(world.path("theirs"), b"x")
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    before = world.etcd.below(world.root)
    diff = commands.Command("diff", world, tmp_path, capsys)
    diff.configure(sync={"prefixes": [world.root]})
    refused = diff(*commands.QUICK, "--fix")
    assert refused.code == 3, refused
    assert "sync.ownership: marks" in refused.err
    assert world.etcd.below(world.root) == before


def test_a_repair_by_marks_keeps_older_releases_away(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would take all of the range for their own, as soon as nobody owns the shard."""
    marking.grown(world, ["a"])
    diff = commands.Command("diff", world, tmp_path, capsys)
    diff.configure(sync={"prefixes": [world.root], **MARKS})
    assert diff(*commands.QUICK, "--fix").code == 0
    assert b'"min_reader":2' in (world.etcd.value(f"{world.state}/format") or b"")
    shard = marking.marked(world.root, world.root)
    assert marking.marks(world, shard) == {world.root, world.path("a")}


def test_a_repair_by_marks_that_wrote_nothing_is_known_too(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marking.grown(world, ["a"])
    world.etcd.put_many([(world.root, b"theirs"), (world.path("a"), b"theirs")])
    diff = commands.Command("diff", world, tmp_path, capsys)
    diff.configure(sync={"prefixes": [world.root], **MARKS})
    assert diff(*commands.QUICK, "--fix").code == 1
    diff.configure(sync={"prefixes": [world.root]})
    assert "sync.ownership: marks" in diff(*commands.QUICK, "--fix").err
    assert set(world.etcd.values(world.root).values()) == {b"theirs"}


def test_a_range_in_which_another_mirror_has_marks_is_not_taken(world: mirroring.World) -> None:
    """They share `state.prefix`, and the one by marks is away: its owner key does not say so."""
    one, other, to = (world.path(name) for name in ("one", "other", "to"))
    for source in (one, other):
        world.zk.create(source, b"", makepath=True)
        world.zk.create(f"{source}/a", source.encode())
    shard = marking.marked(one, to)
    worker = world.worker(shards=[shard])
    worker.follows()
    worker.drain()
    world.etcd.put(f"{to}/theirs", b"x")
    before = world.etcd.below(to)
    for target in (to, f"{to}/a"):
        plain = dataclasses.replace(marking.marked(other, target), ownership="range")
        worker = world.worker(shards=[plain], identity=marking.SECOND)
        report = worker.wait(lambda r: r.error is not None or r.phase == "following")
        assert "another mirror's keys there" in str(report.error)
        assert world.etcd.below(to) == before
        worker.drain()
    beside = dataclasses.replace(marking.marked(other, world.path("to2")), ownership="range")
    world.worker(shards=[beside]).follows()
    world.etcd.delete(marking.base(world, shard))
    world.etcd.delete_below(marking.base(world, shard))
    plain = dataclasses.replace(marking.marked(other, to), ownership="range")
    world.worker(shards=[plain], identity=marking.SECOND).follows()
    assert world.etcd.value(f"{to}/a") == other.encode()
