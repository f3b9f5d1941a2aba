"""The installed `zk2etcd` command as a process: what a user types, and what an operator sees.

Nothing here imports the product's insides; a supervisor is judged by its exit code, its two
streams, its admin address, and by what stands in the servers.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psutil

from tests import polling, processes
from zk2etcd import errors
from zk2etcd.sandbox import servers, supervisor as supervisors

Settings = supervisors.Settings
Document = dict[str, Any]


def command() -> str:
    """The `zk2etcd` that was installed beside this interpreter, or that is named by
    `ZK2ETCD_COMMAND`: so that a test of a defect can be shown to fail on an older build."""
    if named := os.environ.get("ZK2ETCD_COMMAND"):
        return named
    found = shutil.which("zk2etcd", path=str(pathlib.Path(sys.executable).parent))
    assert found is not None, "zk2etcd is not installed here: pip install -e ."
    return found


def run(
    *arguments: str, timeout: float = 30.0, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one `zk2etcd` command to its end; `env` goes over our environment."""
    environment = {**_environment(), **(env or {})}
    return processes.run([command(), *arguments], env=environment, timeout=timeout)


def _environment() -> dict[str, str]:
    """Ours, but for the width of a terminal that the test runner says it has."""
    return {name: value for name, value in os.environ.items() if name != "COLUMNS"}


def settings(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefixes: Sequence[str | Mapping[str, Any]],
    /,
    **sections: Mapping[str, Any],
) -> Settings:
    """A configuration whose state is its own on shared servers; `sections` are laid over it."""
    first = prefixes[0]
    name = first if isinstance(first, str) else str(first["from"])
    content = supervisors.settings(zookeeper, etcd, prefixes)
    content["state"] = {"prefix": f"zk2etcd{name}", "lease_ttl": "5s"}
    return laid_over(content, **sections)


def laid_over(content: Settings, /, **sections: Mapping[str, Any]) -> Settings:
    """This configuration with each section's values in place of, or beside, its own."""
    found = {
        section: {**content.get(section, {}), **values} for section, values in sections.items()
    }
    return {**content, **found}


class Supervisor(supervisors.Supervisor):
    """`zk2etcd -c <folder>/config.yaml`, installed. `stdout` and `log` (stderr) are files."""

    variables: Mapping[str, str] = {}
    under: Sequence[str] = ()
    """What the command is started by, such as `prlimit` with its options."""

    def command(self) -> list[str]:
        return [*self.under, command(), "-c", str(self.config)]

    def environment(self) -> dict[str, str]:
        return {**os.environ, **self.variables}

    def events(self, event: str | None = None, **fields: Any) -> list[Document]:
        """The log lines so far, as JSON, with this `event` and these fields."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            if not line.startswith("{"):
                continue
            entry = json.loads(line)
            same = all(entry.get(key) == value for key, value in fields.items())
            if same and event in (None, entry.get("event")):
                found.append(entry)
        return found

    def worker(self, slot: str) -> Document:
        """The slot as it stands in /status; empty when it is not there."""
        workers: list[Document] = self.status()["workers"]
        return next((each for each in workers if each["slot"] == slot), {})

    def slot_of(self, source: str) -> str:
        """The slot that mirrors this `from`."""
        return str(self.shards()[source]["worker"])

    def shard_id(self, source: str) -> str:
        return str(self.shards()[source]["id"])

    def sequences(self) -> dict[str, int]:
        """By `from`, which base or full sync was the last to be completed."""
        shards = self.shards().items()
        return {source: shard["last_full_sync"]["sequence"] for source, shard in shards}

    def end(self, timeout: float = 20.0) -> int:
        """The exit code of the process, which was told to stop."""
        process = self._running()
        try:
            return process.wait(timeout)
        finally:
            process.kill()
            process.wait()
            self._process = None

    def stop_with(self, number: signal.Signals, timeout: float = 20.0) -> tuple[int, float]:
        """Send the signal: (exit code, seconds until the end)."""
        started = time.monotonic()
        self.signal(number)
        code = self.end(timeout)
        return code, time.monotonic() - started


def family(supervisor: Supervisor) -> list[psutil.Process]:
    """The supervisor's descendants now: workers, and what multiprocessing runs beside them."""
    return psutil.Process(supervisor.pid).children(recursive=True)


def gone(processes: Sequence[psutil.Process]) -> bool:
    """Whether all of these ended; a zombie that its parent has not reaped yet counts as ended."""
    return not any(_lives(process) for process in processes)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def refused(supervisor: Supervisor, timeout: float = 5.0) -> Document:
    """The status after a reload that was refused: waits for `config.error`."""

    def error() -> Document | None:
        status = supervisor.status()
        return status if status["config"]["error"] else None

    found = polling.until(error, timeout, what="config.error in the status")
    assert found is not None
    return found


def unreachable(supervisor: Supervisor) -> bool:
    """Whether its admin address does not answer."""
    try:
        supervisor.ask("/livez", timeout=1.0)
    except errors.Unreachable:
        return True
    return False
