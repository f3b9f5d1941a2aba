"""A process that got Ctrl-C ends, whatever came of the KeyboardInterrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from zk2etcd import ending

_BEGIN = """
import signal, sys, threading, time
from zk2etcd import ending
ending.by_interrupts()
def there():
    print("there", flush=True)
"""
"""What hangs says `there` itself: before, an interrupt would end it as it ends any program."""
_SWALLOWED = """
class Swallows:
    def __del__(self):
        there()
        time.sleep(30)
while True:
    Swallows()
"""
_CLEAN_UP_HANGS = """
try:
    there()
    time.sleep(30)
finally:
    threading.Lock().acquire()
    threading.Event().wait(30)
"""
_THREAD_HANGS = """
threading.Thread(target=time.sleep, args=(30,)).start()
there()
time.sleep(30)
"""


@pytest.mark.parametrize("hangs", [_SWALLOWED, _CLEAN_UP_HANGS, _THREAD_HANGS])
def test_it_ends_soon(hangs: str) -> None:
    command = [sys.executable, "-c", _BEGIN + hangs]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.stdout.readline() == b"there\n"
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            assert process.wait(10) == ending.INTERRUPTED
            assert time.monotonic() - began > ending.PATIENCE / 2
        finally:
            process.kill()


def test_a_second_one_is_not_waited_for() -> None:
    command = [sys.executable, "-c", _BEGIN + _SWALLOWED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"there\n"
            process.send_signal(signal.SIGINT)
            assert b"ignored" in process.stderr.readline()  # it was taken, and swallowed
            process.send_signal(signal.SIGINT)
            assert process.wait(ending.PATIENCE) == ending.INTERRUPTED
        finally:
            process.kill()
