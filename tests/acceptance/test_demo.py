"""`zk2etcd demo` as a process: what it promises it shows, and it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import psutil
import pytest

from tests import polling
from zk2etcd.sandbox import demo, supervisor

pytestmark = pytest.mark.alone


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_shows_what_it_promises() -> None:
    done = supervisor.run("demo", timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    shown = [line for line in lines if line.startswith("ok ")]
    assert len(shown) == len(demo.STEPS), done.stdout
    assert "FAILED" not in done.stdout


def test_a_stopped_demo_leaves_no_process_behind() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "zk2etcd", "demo"],
        env=supervisor.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    with running.stdout as lines:
        assert lines.readline().startswith("ok ")
    family = psutil.Process(running.pid).children(recursive=True)
    assert len(family) >= 2
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 128 + signal.SIGTERM
    polling.until(lambda: not any(child.is_running() for child in family))


def test_only_the_servers() -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "zk2etcd", "demo", "--servers"],
        env=supervisor.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    with running.stdout as lines:
        zookeeper, etcd, _ = (lines.readline().split() for _ in range(3))
        done = supervisor.run("genzk", "--hosts", zookeeper[1], "--parents", "1", "--children", "1")
        assert done.returncode == 0, done.stderr
        with urllib.request.urlopen(f"{etcd[1]}/version", timeout=5) as answer:
            assert "etcdserver" in json.load(answer)
        running.send_signal(signal.SIGINT)
        assert running.wait(30) == 0
