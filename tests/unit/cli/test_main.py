"""The entry point: exit codes, one clear line, and nothing imported in vain."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Callable

import click
import pytest

from zk2etcd import errors, version
from zk2etcd.cli import main

Raised = BaseException | type[BaseException]


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Let the subcommand `version` do this instead."""

    def replace(action: Callable[[], object]) -> None:
        module = types.ModuleType("made_up_command")
        module.command = click.Command("version", callback=action)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(main.COMMANDS, "version", (module.__name__, "made up"))

    return replace


def raising(error: Raised) -> Callable[[], object]:
    def action() -> object:
        raise error

    return action


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (errors.ConfigError(["a: wrong", "b: wrong"]), 2, "zk2etcd: a: wrong\nzk2etcd: b: wrong\n"),
        (errors.UsageError("not so"), 2, "zk2etcd: not so\n"),
        (errors.Unreachable("gone\x1b[31m"), 3, "zk2etcd: gone\\x1b[31m\n"),
        (errors.StartError("in use"), 4, "zk2etcd: in use\n"),
        (errors.EtcdDenied("no"), 3, "zk2etcd: no\n"),
        (click.UsageError("odd"), 2, "zk2etcd: odd (see `zk2etcd version --help`)\n"),
        (ZeroDivisionError("x\ny"), 70,
         "zk2etcd: internal error: ZeroDivisionError: x\\ny (use --debug for the traceback)\n"),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
    ],
)  # fmt: skip
def test_what_a_command_raises_is_one_line_and_its_code(
    behave: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    error: Raised,
    code: int,
    line: str,
) -> None:
    behave(raising(error))
    assert main.run(["version"]) == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", line)


@pytest.mark.parametrize("error", [ValueError("x"), errors.Unreachable("x")])
def test_debug_shows_the_traceback(
    behave: Callable[[Callable[[], object]], None],
    capsys: pytest.CaptureFixture[str],
    error: Raised,
) -> None:
    behave(raising(error))
    with pytest.raises(SystemExit):
        main.main(["version", "--debug"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (3, 3)])
def test_what_a_command_returns_is_the_exit_code(
    behave: Callable[[Callable[[], object]], None], returned: object, code: int
) -> None:
    behave(lambda: returned)
    with pytest.raises(SystemExit) as ended:
        main.main(["version"])
    assert ended.value.code == code


def test_a_command_may_exit_by_its_context(
    behave: Callable[[Callable[[], object]], None],
) -> None:
    behave(lambda: click.get_current_context().exit(4))
    assert main.run(["version"]) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stauts"], "did you mean status?"),
        (["status", "--nope"], "No such option"),
        (["status", "extra"], "unexpected extra argument"),
        (["-c", "a.yaml", "status"], "write the command first: zk2etcd status"),
        (["log"], "--level"),
        (["status", "--url", "ftp://x"], "is not an http URL"),
        (["status", "--set", "a=b"], "give it with -c"),
        ([], "Usage: zk2etcd"),
    ],
)
def test_wrong_use_is_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    assert said in capsys.readouterr().err


def test_options_without_a_command_are_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, ...]] = []
    module = types.ModuleType("made_up_run")
    command = click.Command(
        "run",
        params=[click.Option(["-c", "--config"], multiple=True)],
        callback=lambda **given: seen.append(given["config"]),
    )
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(main.COMMANDS, "run", (module.__name__, "made up"))

    assert main.run(["-c", "a.yaml", "-c", "b.yaml"]) == 0
    assert main.run(["run", "-c", "c.yaml"]) == 0
    assert seen == [("a.yaml", "b.yaml"), ("c.yaml",)]


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(re.search(rf"^  {name} ", shown, re.MULTILINE) for name in main.COMMANDS)


def test_version_says_what_a_bug_report_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"version", "commit", "built_at", "python", "dependencies"}
    assert found["version"] == version.info().version
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"{found['version']}\n"


def test_a_build_between_releases_names_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version, "_generated", dict)
    monkeypatch.setattr(version, "_installed", lambda: "0.2.1.dev3+gabc1234.d20260101")
    found = version.info.__wrapped__()
    assert (found.commit, found.built_at) == ("abc1234", None)


def test_what_the_build_wrote_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    generated = {"version": "1.0.0", "commit_id": "gabc1234", "built_at": "2026-01-02T03:04:05Z"}
    monkeypatch.setattr(version, "_generated", lambda: generated)
    found = version.info.__wrapped__()
    assert (found.version, found.commit) == ("1.0.0", "abc1234")
    assert found.built_at == "2026-01-02T03:04:05Z"


def test_a_reader_that_leaves_is_no_error() -> None:
    code = (
        "import sys; from zk2etcd.cli import main; import zk2etcd.cli.version as v;"
        "v.version.dependencies = lambda: {str(n): 'x' * 99 for n in range(9999)};"
        "main.main(['version'])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.readline()
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(30) == main.BROKEN_PIPE
    assert said == b""
