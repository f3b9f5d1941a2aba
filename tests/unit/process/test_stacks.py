"""Stacks of processes that hang, which is when one asks for them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from zk2etcd.process import stacks

# It holds the interpreter's lock for ages, and looks at no signal.
HANGS = """
import re, sys
from zk2etcd.process import stacks
stacks.Writer().keep(sys.argv[1], "w0")
def hangs():
    print("ready", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")
hangs()
"""
# Its threads are busy, and new ones start and end.
WORKS = """
import sys, threading
from zk2etcd.process import stacks
stacks.Writer().keep(sys.argv[1], "w0")
def deep(n):
    return [deep(n - 1)] if n else []
def works():
    while True:
        deep(20)
def starts():
    while True:
        thread = threading.Thread(target=deep, args=(5,))
        thread.start()
        thread.join()
for each in (works, works, works, starts, starts):
    threading.Thread(target=each, daemon=True).start()
print("ready", flush=True)
while not sys.stdin.read():
    pass
"""


@contextlib.contextmanager
def running(script: str, directory: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", script, str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


@pytest.fixture
def hung(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    with running(HANGS, tmp_path) as child:
        yield child


def test_one_that_hangs_tells(tmp_path: pathlib.Path, hung: subprocess.Popen[bytes]) -> None:
    for _ in range(2):
        found = stacks.gather(str(tmp_path), {"w0": hung.pid, "w1": hung.pid})
        assert set(found) == {"w0"}
        assert found["w0"].count(" in hangs\n") == 1
    assert (tmp_path / "stacks-w0.txt").stat().st_mode & 0o777 == 0o600


def test_one_whose_interpreter_is_stuck_tells_stderr_too() -> None:
    """A supervisor keeps no file: whoever asks has its pid."""
    script = HANGS.replace('.keep(sys.argv[1], "w0")', "")
    command, pipe = [sys.executable, "-c", script], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"ready\n"
        os.kill(child.pid, stacks.STUCK_SIGNAL)
        assert any(line.endswith(b" in hangs\n") for line in child.stderr)
        child.kill()


def test_one_that_works_lives_through_it(tmp_path: pathlib.Path) -> None:
    with running(WORKS, tmp_path) as child:
        for _ in range(300):  # some 100 were enough where faulthandler's own handler wrote
            os.kill(child.pid, stacks.SIGNAL)
            time.sleep(0.005)
        found = stacks.gather(str(tmp_path), {"w0": child.pid})
        assert child.poll() is None
    assert " in works\n" in found["w0"]


def test_one_that_is_stopped_keeps_nobody_else_waiting(
    tmp_path: pathlib.Path, hung: subprocess.Popen[bytes]
) -> None:
    os.kill(hung.pid, signal.SIGSTOP)
    other = tmp_path / "stacks-w1.txt"
    other.touch()
    with subprocess.Popen(["sleep", "60"]) as child:
        threading.Timer(0.02, other.write_text, ["its stacks"]).start()
        found = stacks.gather(str(tmp_path), {"w0": hung.pid, "w1": child.pid}, patience=1.0)
        child.kill()
    assert found == {"w1": "its stacks"}


def test_one_that_is_stopped_does_not(
    tmp_path: pathlib.Path, hung: subprocess.Popen[bytes]
) -> None:
    os.kill(hung.pid, signal.SIGSTOP)
    assert stacks.gather(str(tmp_path), {"w0": hung.pid}, patience=0.1) == {}


def test_one_that_keeps_no_file_is_left_alone(tmp_path: pathlib.Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert stacks.gather(str(tmp_path), {"w0": child.pid}) == {}
        # A process id that meanwhile is somebody else's: the signal is one that harms nobody.
        os.kill(child.pid, stacks.FILE_SIGNAL)
        assert child.poll() is None
        child.kill()


def test_ones_own() -> None:
    assert "in test_ones_own" in stacks.own()
