"""The supervisor as PID 1 of a container: signals work, and others' orphans are reaped."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests import polling

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNSHARE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]


def permitted() -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0
    return False


@pytest.fixture
def init(tmp_path: pathlib.Path) -> Iterator[psutil.Process]:
    """The supervisor in a PID namespace of its own, ready."""
    if not permitted():
        pytest.skip("this system lets us make no PID namespace")
    config = tmp_path / "config.yaml"
    config.write_text("sync: {prefixes: [/a]}\nworkers: {count: 1}\ncluster: {mode: standby}\n")
    views = (tmp_path / "views").open("wb")
    command = [sys.executable, "-m", "tests.supervised", "tests.targets.parental", str(config)]
    with (
        views,
        subprocess.Popen(
            [*UNSHARE, *command],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "workers")])},
            stdout=views,
        ) as outer,
    ):
        try:
            ready = tmp_path / "views"
            polling.until(lambda: '"ready"' in ready.read_text(), 20)
            (inner,) = psutil.Process(outer.pid).children()
            yield inner
        finally:
            for process in psutil.Process(outer.pid).children():
                process.kill()  # the first process of a namespace takes the rest with it
            outer.kill()


def children(init: psutil.Process) -> Iterator[tuple[str, str]]:
    """Name and state of each; one that is reaped while it is looked at is none any more."""
    for child in init.children():
        with contextlib.suppress(psutil.NoSuchProcess):
            yield child.name(), child.status()


def test_orphans_are_reaped_and_sigterm_is_obeyed(init: psutil.Process) -> None:
    def adopted() -> bool:
        return any(name == "sleep" for name, _ in children(init))

    def defunct() -> bool:
        return any(state == psutil.STATUS_ZOMBIE for _, state in children(init))

    polling.until(adopted, 10, what="the worker's orphan at the supervisor")
    polling.until(lambda: not adopted() and not defunct(), 10, what="the orphan reaped")
    os.kill(init.pid, signal.SIGTERM)
    polling.until(lambda: not init.is_running() or init.status() == psutil.STATUS_ZOMBIE, 10)
