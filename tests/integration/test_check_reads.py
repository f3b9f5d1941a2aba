"""`zk2etcd check` reads as a mirror may: within what a session has under way, and its rate."""

from __future__ import annotations

import pathlib

import pytest

from tests.integration import commands, mirroring, observing

FOLDERS = 250


@pytest.fixture
def check(
    world: mirroring.World, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> commands.Command:
    world.zk.create(world.root)
    folders = [world.path(f"s{number:03}") for number in range(FOLDERS)]
    for level in ("", "/consumers", "/consumers/c"):
        observing.seed(world.zk, [(folder + level, b"") for folder in folders])
    return commands.Command("check", world, tmp_path, capsys)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("protocol", ["bulk", "classic"])
def test_a_pattern_leads_through_more_folders_than_may_be_read_at_once(
    world: mirroring.World, check: commands.Command, protocol: str
) -> None:
    patterns = [f"{world.root}/*/consumers/*", f"{world.root}/**/nothing"]
    check.configure(
        zookeeper={"protocol": protocol},
        sync={"prefixes": [{"from": world.root, "to": world.root, "exclude": patterns}]},
    )
    outcome = check()
    assert outcome.code == 0, outcome
    assert f"exclude {patterns[0]} leaves out {FOLDERS} nodes" in outcome.out
    assert f"exclude {patterns[1]} matches nothing" in outcome.out


@pytest.mark.timeout(60)
def test_a_rate_lower_than_what_is_looked_at_is_kept(
    world: mirroring.World, check: commands.Command
) -> None:
    pattern = f"{world.root}/*/consumers"
    check.configure(
        zookeeper={"max_reads_per_second": 5},
        sync={"prefixes": [{"from": world.root, "to": world.root, "exclude": [pattern]}]},
    )
    outcome = check()
    assert outcome.code == 0, outcome
    assert f"{world.root} can be read: {FOLDERS} children" in outcome.out
    assert f"exclude {pattern} leaves out at least " in outcome.out
