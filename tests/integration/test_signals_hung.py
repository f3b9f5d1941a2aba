"""A supervisor whose loop hangs, and a person who wants it to end."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from tests import polling

_HANGS = """
import os, signal, sys
from zk2etcd.supervisor import signals
with signals.Inbox():
    print("listening", flush=True)
    open(sys.argv[1])  # a FIFO that nobody writes to
"""


def test_a_second_one_ends_it_whatever_the_loop_does(tmp_path: pathlib.Path) -> None:
    """A6: the loop hangs, two SIGTERMs do nothing. Since nothing that is known hangs the loop any
    more, here is what does in its place: to open a FIFO."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [sys.executable, "-c", _HANGS, str(fifo)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        # A test that hangs is none: the FIFO is given a writer in the end.
        ender = threading.Timer(30, lambda: os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
        ender.start()
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        # Two signals before Python handles the first are one to it.
        polling.until(lambda: _sleeps(process.pid), what="it hangs")
        process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 130
        ender.cancel()


def _sleeps(pid: int) -> bool:
    return bool(psutil.Process(pid).status() == psutil.STATUS_SLEEPING)
