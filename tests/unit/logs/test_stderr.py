"""Standard error that nobody reads stops nothing, and what it cost is said."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from zk2etcd.logs import stderr

WRITER = """
import sys
from zk2etcd.logs import logger
from zk2etcd.config import models
logger.setup("w0", models.Log(format="json"))
log = logger.get()
for number in range(int(sys.argv[1])):
    log.info("line", number=number, filler="x" * (number % 300))
print("done", flush=True)
sys.stdin.readline()
log.info("last")
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _parsed(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content.splitlines()]


def _end(writer: subprocess.Popen[bytes], near: int) -> bytes:
    """Let it write its last line and end; all that is left to be read until then."""
    assert writer.stdout is not None
    assert writer.stdin is not None
    content = os.read(near, 1_000_000)
    writer.stdin.write(b"\n")
    writer.stdin.close()
    while chunk := os.read(near, 1_000_000):
        content += chunk
    os.close(near)
    writer.stdout.close()
    assert writer.wait(10) == 0
    return content


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_reader_that_stops_holds_nothing_up(kind: str) -> None:
    ends: tuple[int, int]
    if kind == "pipe":
        ends = os.pipe()
    else:
        near, far = socket.socketpair()
        ends = near.detach(), far.detach()
    command = [sys.executable, "-c", WRITER, "20000"]
    writer = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=ends[1]
    )
    os.close(ends[1])
    assert writer.stdout is not None
    began = time.monotonic()
    assert writer.stdout.readline() == b"done\n"
    assert time.monotonic() - began < 15
    lines = _parsed(_end(writer, ends[0]))
    assert lines[-1]["event"] == "last"
    (notice,) = [line for line in lines if line["event"].startswith("log lines dropped")]
    numbers = [line["number"] for line in lines if line["event"] == "line"]
    assert numbers == list(range(len(numbers))), "those that fitted are whole and in order"
    assert notice["lines"] + len(numbers) == 20000


def test_a_line_that_was_cut_off_does_not_spoil_the_next() -> None:
    """It is longer than a pipe's room, and nobody reads the rest of it in time."""
    code = WRITER.replace("log = ", "logger._STDERR.write(b'{' + b'x' * 200_000 + b'\\n'); log = ")
    near, far = os.pipe()
    command = [sys.executable, "-c", code, "0"]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=far)
    os.close(far)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"done\n"
    torn, *lines = _end(writer, near).split(b"\n", 1)
    assert torn.startswith(b"{xxx")
    assert len(torn) < 200_000
    notice, last = _parsed(lines[0])
    assert notice["event"].startswith("log lines dropped")
    assert (notice["lines"], last["event"]) == (1, "last")


def test_a_dry_run_goes_at_the_pace_of_its_reader() -> None:
    code = WRITER.replace("log = ", "logger.be_patient(); log = ")
    near, far = os.pipe()
    command = [sys.executable, "-c", code, "6000"]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=far)
    os.close(far)
    assert writer.stdin is not None
    writer.stdin.write(b"\n")
    writer.stdin.close()
    content = b""
    pace = threading.Event()
    while chunk := os.read(near, 4096):
        content += chunk
        pace.wait(0.005)  # 800 kB a second, for 1.5 MB
    os.close(near)
    assert writer.stdout is not None
    writer.stdout.close()
    assert writer.wait(10) == 0
    lines = _parsed(content)
    assert [line["event"] for line in lines] == ["line"] * 6000 + ["last"]


def test_patience_is_bounded_and_comes_back() -> None:
    clock = Clock()
    patience = stderr.Patience(clock, most=1.0, share=0.05)
    patience.spend(1.0)
    assert patience.left() == 0.0
    clock.now += 10
    assert patience.left() == pytest.approx(0.5)
    clock.now += 1000
    assert patience.left() == 1.0


def test_whole_lines_are_packed_into_writes_that_a_pipe_takes_whole() -> None:
    lines = [b"x" * (number % 1500) + b"\n" for number in range(0, 60_000, 7)]
    packed = list(stderr._packed(b"".join(lines), stderr.ATOMIC))
    assert b"".join(packed) == b"".join(lines)
    assert all(chunk.endswith(b"\n") and len(chunk) <= 4096 for chunk in packed)
    assert len(packed) < len(lines) / 4


def test_a_line_that_is_too_long_travels_alone() -> None:
    lines = [b"a\n", b"x" * 9000 + b"\n", b"b\n" * 5]
    assert list(stderr._packed(b"".join(lines), stderr.ATOMIC)) == lines
