"""What `check` says is to come into etcd, where a mark stands beside each key."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest

from tests.integration import commands, marking, mirroring

UNITS = {"B": 1, "KiB": 1024, "MiB": 1024 * 1024}
NODES = 1_500


def _to_come(check: commands.Command) -> float:
    outcome = check()
    assert outcome.code == 0, outcome
    found = re.search(r"about ([\d.]+) (B|KiB|MiB) is to come", " ".join(outcome.out.split()))
    assert found is not None, outcome.out
    return float(found[1]) * UNITS[found[2]]


def test_marks_are_counted_until_they_are_there(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marking.grown(world, [f"n{number:04d}" for number in range(NODES)])
    check = commands.Command("check", world, tmp_path, capsys)
    check.configure(sync={"prefixes": [world.root]})
    plain = _to_come(check)
    check.configure(sync={"prefixes": [world.root], "ownership": "marks"})
    shard = marking.marked(world.root, world.root)
    names = NODES * (len(marking.base(world, shard)) + len(world.path("n0000")) + 120)
    assert _to_come(check) == pytest.approx(plain + names, rel=0.05)
    # Of what was mirrored by range, or by an older tool, the marks alone are to come.
    worker = world.worker(shards=[dataclasses.replace(shard, ownership="range")])
    worker.follows(30)
    worker.drain()
    assert _to_come(check) == pytest.approx(names, rel=0.05)
    adopt = commands.Command("adopt", world, tmp_path, capsys)
    adopt.configure(sync={"prefixes": [world.root], "ownership": "marks"})
    assert f"{NODES + 1:,} of {NODES + 1:,} keys marked" in adopt("--yes").out
    assert _to_come(check) == 0
    # Nor is anything where somebody else's keys are in the way.
    worker = world.worker(shards=[shard], identity=marking.SECOND)
    assert worker.follows(30).conflicts == 0
    world.etcd.delete(world.path("n0000"))
    world.etcd.put(world.path("n0000"), b"theirs")
    assert _to_come(check) == 0
