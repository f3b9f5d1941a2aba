"""A worker that counts and is killed, and what the supervisor then shows of its counters."""

from __future__ import annotations

import pathlib
import signal
import subprocess
import sys

from tests.unit import views
from zk2etcd.view import exposition

COUNT = """
import os, signal, sys
from zk2etcd import metrics
instruments = metrics.for_worker(sys.argv[1], sys.argv[2])
for _ in range(5):
    instruments.etcd_op("txn", "success", 0.002)
instruments.etcd_count("put", "success", 640)
instruments.fixed("delete", 2)
instruments.zk_connected()
instruments.lag(-3.0)
instruments.full_sync(1.5)
os.kill(os.getpid(), signal.SIGKILL)
"""


def run_and_kill(directory: pathlib.Path, slot: str) -> None:
    """A worker in `slot` counts, and dies by kill -9."""
    command = [sys.executable, "-c", COUNT, str(directory), slot]
    done = subprocess.run(command, check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL


def scrape(directory: pathlib.Path) -> dict[str, float]:
    """Every sample of an exposition by its name and labels as they are written."""
    text = exposition.Aggregator(lambda: str(directory), views.view).text().decode()
    return samples(text)


def samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def damage(path: pathlib.Path) -> None:
    """Spoil the entry of zk2etcd_zk_conn, and so all behind it."""
    content = bytearray(path.read_bytes())
    at = content.index(b'["zk2etcd_zk_conn",')
    content[at - 4 : at] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)
