"""Two mirrors and a stranger in one range, with a fresh seed; and that the judge notices when a
line of defence is gone. `python -m tests.faults --marks` has the long runs.
"""

from __future__ import annotations

import pathlib
import random
import sys

import pytest

from tests.faults import beside, directed, self_check, watcher

FRESH = random.SystemRandom().randrange(1000, 1_000_000)
PATCHES = sorted((self_check.PATCHES / "beside").glob("*.patch"))
_TRIES = 3


def _event(revision: int, key: str, value: bytes | None) -> watcher.Event:
    return watcher.Event(revision, key.encode(), value, 0.0)


@pytest.mark.long
@pytest.mark.timeout(240)
def test_nobody_s_key_is_touched_by_another() -> None:
    sys.stdout.write(f"seed {FRESH}\n")
    report = beside.run(FRESH, 15.0)
    assert not report.violations, "\n".join([report.line(), *map(str, report.violations[:5])])


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("patch", PATCHES, ids=[patch.stem for patch in PATCHES])
def test_the_mutation_is_noticed(patch: pathlib.Path, tmp_path: pathlib.Path) -> None:
    head = patch.read_text("utf-8").partition("\n--- ")[0]
    said = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    mutation = self_check.Mutation(
        patch.stem, said["what"], next(iter(directed.SCENARIOS)), said["fires"], frozenset(), patch
    )
    tree = self_check.copied(tmp_path, mutation)
    allowed = {said["fires"], *(each.strip() for each in said["also"].split(","))}
    for seed in range(_TRIES):
        checks = beside.run(seed, 15.0, tree).checks
        assert checks <= allowed
        if said["fires"] in checks:
            return
    raise AssertionError(f"{said['fires']} did not fire")


def test_what_the_judge_says() -> None:
    mark, check = "zk2etcd/red/owned/load-1", "zk2etcd/red/checkpoints/load-1"
    blue = "zk2etcd/blue/checkpoints/load-1"
    events = [
        _event(1, "/shared/a", b"1"),
        _event(1, f"{mark}/shared/a", b""),
        _event(1, check, b"x"),
        _event(2, "/shared/a", b"2"),
        _event(2, check, b"y"),
    ]
    judge = beside.Judge(events)
    assert not judge.violations
    assert judge.owners == {b"/shared/a": "red"}
    more = [
        _event(3, "/shared/a", b"3"),
        _event(3, blue, b"x"),
        _event(4, "/shared/b", b"1"),
        _event(5, f"{mark}/shared/c", b""),
        _event(5, check, b"z"),
        _event(6, "/shared/a", None),
        _event(6, check, b"z"),
    ]
    found = [each.check for each in beside.Judge([*events, *more]).violations]
    assert found == ["theirs", "nobody", "mark alone", "mark left"]
