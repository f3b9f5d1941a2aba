"""Configurations that are wrong: one clear error, the exit code, at once, and nothing runs."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Callable

import psutil
import pytest

from tests.acceptance import installed

SECRET = "hunter2-very-secret"
# It never tries the servers nor unfolds a bomb, which would take much longer than a busy machine.
SECONDS = 25.0
GOOD = f"""\
zookeeper: {{hosts: [127.0.0.1:1], auth: [{{scheme: digest, credentials: "u:{SECRET}"}}]}}
etcd: {{endpoints: [http://127.0.0.1:1], username: u, password: {SECRET}}}
sync: {{prefixes: [/a]}}
http: {{token: {SECRET}}}
"""


def _bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for number in range(1, 12):
        below = ", ".join([f"*a{number - 1}"] * 9)
        lines.append(f"a{number}: &a{number} [{below}]")
    return "\n".join(lines) + "\n" + GOOD


def _replaced(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


FAULTY = {
    "unknown section": (GOOD + "sinc: {}\n", ["sinc", "sync"]),
    "unknown key": (_replaced("prefixes:", "exclud: [/a/b], prefixes:"), ["exclud", "exclude"]),
    "no prefixes": (_replaced("[/a]", "[]"), ["sync.prefixes"]),
    "missing sync": ("workers: {count: 2}\n", ["sync"]),
    "wrong type": (GOOD + "workers: {count: many}\n", ["workers.count"]),
    "list for a mapping": (GOOD + "workers: [2]\n", ["workers"]),
    "negative": (GOOD + "workers: {count: -1}\n", ["workers.count"]),
    "unit": (GOOD + "workers: {stop_timeout: 10 parsecs}\n", ["workers.stop_timeout", "unit"]),
    "empty": ("", ["empty"]),
    "only a comment": ("# nothing\n", ["empty"]),
    "a list": ("- a\n", ["mapping"]),
    "not YAML": ("sync: [\n", ["config.yaml:"]),
    "tabs": ("sync:\n\tprefixes: [/a]\n", ["config.yaml:2"]),
    "duplicate prefix": (_replaced("[/a]", "[/a, /a]"), ["overlaps", "/a"]),
    "overlapping from": (_replaced("[/a]", "[/a, /a/b]"), ["overlaps", "/a/b"]),
    "overlapping to": (
        _replaced("[/a]", "[{from: /x, to: /m}, {from: /y, to: /m/z}]"),
        ["overlaps", "/m/z"],
    ),
    "duplicate key": (GOOD + "workers: {count: 1, count: 2}\n", ["count", "twice"]),
    "duplicate section": (GOOD + "sync: {prefixes: [/b]}\n", ["sync", "twice"]),
    "alias bomb": (_bomb(), ["alias"]),
    "Python tag": (
        GOOD + 'log: !!python/object/apply:os.system ["touch pwned"]\n',
        ["tag"],
    ),
    "secret of a wrong type": (
        _replaced(f"password: {SECRET}", f"password: [{SECRET}]"),
        ["etcd.password"],
    ),
    "misspelt secret": (_replaced("password:", "pasword:"), ["pasword", "password"]),
    "undefined variable": (_replaced("[/a]", "['${ZK2ETCD_NOT_SET}']"), ["ZK2ETCD_NOT_SET"]),
    "chroot": (_replaced("127.0.0.1:1]", "127.0.0.1:1/chroot]"), ["from", "chroot"]),
    "no bucket": (
        _replaced("[/a]", "[{from: /a, to: /a, buckets: 0}]"),
        ["sync.prefixes[0].buckets", "1"],
    ),
    "binary": ("\x00\x01\x02", ["config.yaml"]),
    "10 MB": (GOOD + "# padding\n" * 1_000_000, ["1 MiB", "1048576", "large"]),
}


@pytest.fixture
def run_it(tmp_path: pathlib.Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Runs `zk2etcd check --offline` on this text; fails when it takes too long. (A supervisor
    says the same, and starts its first worker meanwhile: below.)"""

    def run(text: str) -> subprocess.CompletedProcess[str]:
        path = tmp_path / "config.yaml"
        path.write_text(text, "utf-8")
        return _timely("check", "--offline", "-c", str(path))

    return run


def _timely(*arguments: str) -> subprocess.CompletedProcess[str]:
    before = _ours()
    started = time.monotonic()
    done = installed.run(*arguments)
    took = time.monotonic() - started
    assert took < SECONDS, took
    assert _ours() == before, "something was left running"
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
    return done


def _ours() -> set[int]:
    """The processes that this one started, however far down."""
    return {process.pid for process in psutil.Process().children(recursive=True)}


@pytest.mark.parametrize("kind", FAULTY)
def test_a_faulty_file_is_one_clear_error(
    run_it: Callable[[str], subprocess.CompletedProcess[str]], tmp_path: pathlib.Path, kind: str
) -> None:
    text, wanted = FAULTY[kind]
    done = run_it(text)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert 1 <= len(lines) <= (200 if kind == "alias bomb" else 3), done.stderr
    assert all(line.startswith("zk2etcd: ") and "config.yaml" in line for line in lines)
    if kind == "10 MB":
        assert any(word in done.stderr for word in wanted), done.stderr
    else:
        assert all(word in done.stderr for word in wanted), done.stderr
    assert not (tmp_path / "pwned").exists()


def test_all_faults_are_listed_at_once_with_line_and_key(
    run_it: Callable[[str], subprocess.CompletedProcess[str]],
) -> None:
    done = run_it(
        "sync:\n  prefixes: [/a]\n  exclud: []\nworkers:\n  count: none\nlog:\n  level: loud\n"
    )
    assert done.returncode == 2
    faults = done.stderr.splitlines()
    assert len(faults) == 3
    for fault, line, key in zip(
        faults, (3, 5, 7), ("sync.exclud", "workers.count", "log.level"), strict=True
    ):
        assert f"config.yaml:{line}: {key}" in fault


@pytest.mark.parametrize("kind", ["missing", "directory", "dangling", "denied", "no end", "looped"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / "config.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "looped":
        path.symlink_to(path)
    elif kind == "denied":
        path.write_text(GOOD, "utf-8")
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("we are root: a file mode keeps nobody out")
    elif kind == "no end":
        os.mkfifo(path)
    done = _timely("-c", str(path))
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert str(path) in done.stderr


@pytest.mark.parametrize("command", ["check", "run", "config show", "diff"])
def test_every_command_that_reads_a_file_refuses_it_alike(
    tmp_path: pathlib.Path, command: str
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD + "sinc: {}\n", "utf-8")
    done = _timely(*command.split(), "-c", str(path))
    assert done.returncode == 2, done.stderr
    assert "sinc" in done.stderr
    assert "sync" in done.stderr


def test_a_port_in_use_is_exit_4_and_nothing_was_started(tmp_path: pathlib.Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        path = tmp_path / "config.yaml"
        path.write_text(GOOD.replace("http: {", f"http: {{listen: '{address}', "), "utf-8")
        done = _timely("-c", str(path))
    assert done.returncode == 4, done.stderr
    assert address in done.stderr
    assert "in use" in done.stderr
    assert "worker started" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"],
        ["-c"],
        ["run", "--onse", "-c", "x"],
        ["stauts"],
        ["--set", "sync.full_sync_interval=1m"],
        ["status", "--url", "not a url"],
        ["status", "--url", "ftp://127.0.0.1:1"],
        ["status", "--url", "http://127.0.0.1:port"],
        ["status", "--url", "http://127.0.0.1:70000"],
        ["log", "--url", "http://127.0.0.1:1"],
        ["log", "--level", "loud"],
        ["diff", "-c", "x", "--rounds", "0"],
        ["genzk", "--path", "relative"],
    ],
)
def test_a_wrong_call_is_exit_2(arguments: list[str]) -> None:
    done = _timely(*arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(("zk2etcd: ", "Usage: "))


def test_a_wrong_set_is_refused_like_a_line_of_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD, "utf-8")
    done = _timely("-c", str(path), "--set", "sync.full_sync_intervall=1m")
    assert done.returncode == 2
    assert "sync.full_sync_intervall" in done.stderr
    assert "full_sync_interval" in done.stderr.replace("full_sync_intervall", "")


def test_a_log_file_that_cannot_be_opened_is_exit_4(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"{GOOD}log: {{file: {{path: {tmp_path}/none/log}}}}\n", "utf-8")
    done = _timely("-c", str(path))
    assert done.returncode == 4, done.stderr
    (line,) = done.stderr.splitlines()
    assert f"cannot open the log file {tmp_path}/none/log: No such file or directory" in line
    assert "log.file.path" in line
