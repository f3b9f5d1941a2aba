"""`zk2etcd check` without servers: its exit codes and its columns."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Iterator

import pytest

from zk2etcd.cli import main
from zk2etcd_workers.commands import finding, probe

SIDE = finding.Side("etcd")
OK, NOTE = SIDE.ok("well"), SIDE.note("nearly well", "look at it")
FAIL = SIDE.fail("a \x1b[2J right is missing", "grant it")
AWAY = SIDE.fail("nobody answers", "start it", unreachable=True)

Check = Callable[..., int]


@pytest.fixture
def check(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Run `check` as if the servers gave these facts."""
    path = tmp_path / "config.yaml"
    path.write_text("sync: {prefixes: [/a, {from: /b, to: /c, exclude: [/b/x]}]}\n", "utf-8")

    def run(*facts: finding.Fact, arguments: tuple[str, ...] = ()) -> int:
        def found(*_: object) -> Iterator[finding.Fact]:
            return iter(facts)

        monkeypatch.setattr(probe, "facts", found)
        return main.run(["check", "-c", str(path), *arguments])

    return run


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ((OK, NOTE), 0),
        ((OK, FAIL, OK), 1),
        ((FAIL, AWAY), 3),
        ((), 0),
    ],
)
def test_exit_codes(
    check: Check, capsys: pytest.CaptureFixture[str], facts: tuple[finding.Fact, ...], code: int
) -> None:
    assert check(*facts) == code
    assert check(*facts, arguments=("--offline",)) == 0
    capsys.readouterr()
    assert check(*facts, arguments=("--json",)) == code
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["exit_code"]) == (code == 0, code)
    assert [fact["text"] for fact in document["facts"] if fact["side"] == "etcd"] == [
        fact.text for fact in facts
    ]


def test_lines_are_aligned_and_safe(check: Check, capsys: pytest.CaptureFixture[str]) -> None:
    check(OK, NOTE, FAIL)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("config     ok    /a -> /a (shard a-")
    assert lines[2].startswith("config     ok    /b -> /c, without /b/x (shard b-")
    assert lines[4:] == [
        "etcd       ok    well",
        "etcd       note  nearly well",
        "                 look at it",
        "etcd       FAIL  a \\x1b[2J right is missing",
        "                 grant it",
    ]


def test_a_wrong_configuration_is_two(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("sync: {prefixes: [relative]}\n", "utf-8")
    assert main.run(["check", "-c", str(path)]) == 2


@pytest.mark.parametrize(("workers", "notes"), [(1, 1), (2, 0)])
def test_buckets_on_one_worker_are_a_note(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], workers: int, notes: int
) -> None:
    path = tmp_path / "buckets.yaml"
    prefixes = "[{from: /b, to: /c, buckets: 3}, /a]"
    path.write_text(f"{{sync: {{prefixes: {prefixes}}}, workers: {{count: {workers}}}}}\n", "utf-8")
    assert main.run(["check", "-c", str(path), "--offline"]) == 0
    said = capsys.readouterr().out
    assert said.count("the 3 buckets of /b are on one worker process") == notes
