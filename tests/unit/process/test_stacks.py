"""Stacks of processes that hang, which is when one asks for them."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from zk2etcd.process import stacks

# It holds the interpreter's lock for ages, and looks at no signal.
HANGS = """
import re, sys
from zk2etcd.process import stacks
stacks.keep(sys.argv[1], "w0")
def hangs():
    print("ready", flush=True)
    re.match("(a+)+$", "a" * 60 + "b")
hangs()
"""


@pytest.fixture
def hung(tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", HANGS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        yield child
        child.kill()


def test_one_that_hangs_tells(tmp_path: pathlib.Path, hung: subprocess.Popen[bytes]) -> None:
    for _ in range(2):
        found = stacks.gather(str(tmp_path), {"w0": hung.pid, "w1": hung.pid})
        assert set(found) == {"w0"}
        assert found["w0"].count(" in hangs\n") == 1
    assert (tmp_path / "stacks-w0.txt").stat().st_mode & 0o777 == 0o600


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
