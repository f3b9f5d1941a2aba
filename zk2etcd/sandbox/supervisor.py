"""The real supervisor, as a process of its own, on a sandbox's servers.

The demo, the acceptance tests and the benchmarks all look at it as a user does: a config file, a
process with signals, and what its admin address says.
"""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from zk2etcd import errors
from zk2etcd.client import admin_client
from zk2etcd.sandbox import server_process, servers

SOURCE_ROOTS = tuple(
    str(pathlib.Path(__file__).resolve().parents[2] / root) for root in ("", "workers")
)
"""Where a checkout has the two packages; an installed zk2etcd needs neither."""

_POLL_SECONDS = 0.1
"""Between two looks at a status: each costs us and a supervisor that is starting some milliseconds,
and one that starts beside others has none to spare."""

Settings = dict[str, Any]


def settings(
    zookeeper: servers.ZooKeeper, etcd: servers.Etcd, prefixes: Sequence[str | Mapping[str, Any]]
) -> Settings:
    """A config file's content for these servers; all else is a default, or yours to add."""
    return {
        "zookeeper": {"hosts": [zookeeper.address]},
        "etcd": {"endpoints": [etcd.url]},
        "sync": {"prefixes": [dict(p) if isinstance(p, Mapping) else p for p in prefixes]},
        "workers": {"count": 2},
        "log": {"format": "json"},
    }


def environment() -> dict[str, str]:
    """The environment in which `python -m zk2etcd` finds both packages, installed or not."""
    roots = [root for root in SOURCE_ROOTS if pathlib.Path(root).is_dir()]
    known = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*roots, *known])}


def run(*arguments: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run one `zk2etcd` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "zk2etcd", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Supervisor(server_process.Server):
    """`zk2etcd -c <folder>/config.yaml`. Its standard error is in `log`."""

    name = "zk2etcd"
    stop_seconds = 25.0

    def __init__(self, folder: pathlib.Path, content: Settings) -> None:
        super().__init__(folder)
        self.config = folder / "config.yaml"
        self.content = content
        self.configure(content)

    def configure(self, content: Settings) -> None:
        """Write the config file; a running supervisor reads it on `reload`."""
        self.content = content
        merged = {**content, "http": {"listen": self.address, **content.get("http", {})}}
        self.write(yaml.safe_dump(merged, sort_keys=False))

    def write(self, text: str) -> None:
        """Replace the config file's text as it is, broken or not, in one step."""
        fresh = self.config.with_suffix(".new")
        fresh.write_text(text, "utf-8")
        fresh.replace(self.config)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "zk2etcd", "-c", str(self.config)]

    def environment(self) -> dict[str, str]:
        return environment()

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def ready(self) -> bool:
        try:
            return self.ask("/livez")[0] == 200
        except errors.Unreachable:
            return False

    def ask(
        self, path: str, body: Mapping[str, Any] | None = None, timeout: float = 15.0
    ) -> tuple[int, str]:
        """GET, or POST a JSON body: (status, text). Raises errors.Unreachable without an answer."""
        client = admin_client.Client(self.url, timeout=timeout)
        status, answer = client.exchange("GET" if body is None else "POST", path, body)
        return status, answer.decode("utf-8", "replace")

    def status(self) -> dict[str, Any]:
        """The /status document."""
        answer: dict[str, Any] = json.loads(self.ask("/status")[1])
        return answer

    def shards(self) -> dict[str, dict[str, Any]]:
        """The shards of /status by their `from`."""
        return {shard["from"]: shard for shard in self.status()["shards"]}

    def following(self) -> bool:
        """Whether every shard has finished its base and follows."""
        shards = self.status()["shards"]
        return bool(shards) and all(shard["phase"] == "following" for shard in shards)

    def wait_following(self, timeout: float = 60.0) -> None:
        """Poll until `following`; errors.StartError with the last status if it does not come."""
        deadline = time.monotonic() + timeout
        while not self.following():
            if time.monotonic() > deadline or not self.alive:
                state = json.dumps(self.status()["shards"], indent=1) if self.alive else "dead"
                raise errors.StartError(f"not following after {timeout:g} s: {state}")
            time.sleep(_POLL_SECONDS)

    def worker_pids(self) -> dict[str, int]:
        """The pids of the live workers by slot."""
        return {w["slot"]: w["pid"] for w in self.status()["workers"] if w["pid"]}

    def reload(self) -> None:
        self.signal(signal.SIGHUP)
