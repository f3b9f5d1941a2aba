"""What `--help` says can be typed as it stands; colours and completion."""

from __future__ import annotations

import json
import os
import pathlib
import pty
import re
import shlex
import subprocess
import sys

import click
import pytest

from tests import documents
from zk2etcd.cli import examples, main

EXAMPLES = [line for ending in examples.ENDINGS.values() for line in ending.examples]


@pytest.mark.parametrize("name", main.COMMANDS)
def test_each_command_has_examples_and_exit_codes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run([name, "--help"]) == 0
    out = capsys.readouterr().out
    ending = examples.ENDINGS[name]
    for line in (*ending.examples, *ending.codes):
        assert f"\n    {line}\n" in out
        assert len(line) <= 100


@pytest.mark.parametrize("line", EXAMPLES)
def test_each_example_is_a_command_line(line: str) -> None:
    arguments = main._with_run(shlex.split(line.partition(" >")[0])[1:])
    command: click.Command = main.group
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), arguments[0])
        assert found is not None, line
        command, arguments = found, arguments[1:]
    assert not command.make_context(str(command.name), arguments).args


def inline(path: pathlib.Path) -> list[str]:
    """The commands that a document names in a sentence."""
    return re.findall(r"`(?:\$ )?zk2etcd ([^`\n]+)`", path.read_text("utf-8"))


@pytest.mark.parametrize("path", documents.documents(), ids=documents.name)
def test_each_command_in_a_sentence_exists(path: pathlib.Path) -> None:
    for line in inline(path):
        assert not unknown(line), f"zk2etcd {line}"


def unknown(line: str) -> list[str]:
    """The subcommand and the options that there are not; COMMAND stands for any."""
    words = main._with_run(line.split())
    if not words or words[0] in ("COMMAND", "--debug", "--help", "--version"):
        return []
    if words[0] not in main.COMMANDS:
        return words[:1]
    found = main.group.get_command(click.Context(main.group), words[0])
    commands = [found, *(found.commands.values() if isinstance(found, click.Group) else ())]
    known = {"-h", "--help", "--debug"}
    for command in filter(None, commands):
        for parameter in command.params:
            known |= {*parameter.opts, *parameter.secondary_opts}
    options = [word.partition("=")[0].rstrip(".,") for word in words[1:] if word.startswith("-")]
    return [option for option in options if option not in known]


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert unknown("statos") == ["statos"]
    assert unknown("status --wach -c F") == ["--wach"]
    assert not unknown("-c F --set a=b")
    assert not unknown("config show -c FILE")


def test_the_group_says_the_codes_of_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    out = capsys.readouterr().out
    listed = {code[:2] for ending in examples.ENDINGS.values() for code in ending.codes}
    assert listed <= {"0 ", "1 ", "2 ", "3 ", "4 "}
    for code in ("0", "1", "2", "3", "4", "70", "130"):
        assert f"\n    {code} " in out
    assert "_ZK2ETCD_COMPLETE=bash_source" in out


def test_completion() -> None:
    def asked(words: str, position: int) -> list[str]:
        env = {"_ZK2ETCD_COMPLETE": "bash_complete", "COMP_WORDS": words}
        done = subprocess.run(
            [sys.executable, "-m", "zk2etcd"],
            env={**os.environ, **env, "COMP_CWORD": str(position)},
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout.split()

    assert asked("zk2etcd st", 1) == ["plain,status"]
    assert "plain,--round-interval" in asked("zk2etcd diff --rou", 2)


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("", True), ("1", False)])
def test_no_color(tmp_path: pathlib.Path, no_color: str | None, coloured: bool) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"sync": {"prefixes": ["/a"]}}), "utf-8")
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    if no_color is not None:
        env["NO_COLOR"] = no_color
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "zk2etcd", "check", "--offline", "-c", str(config)],
        env={**env, "TERM": "xterm"},
        stdout=theirs,
        timeout=30,
        check=True,
    )
    seen = os.read(ours, 65536)
    os.close(ours)
    os.close(theirs)
    assert b"is valid" in seen
    assert (b"\x1b[" in seen) is coloured
