"""The servers of one benchmark run, what is in them, and the observer that times both sides."""

from __future__ import annotations

import contextlib
import itertools
import pathlib
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from benchmarks import bare_classic, bare_etcd, bare_zookeeper
from zk2etcd.sandbox import servers, supervisor as supervisors
from zk2etcd_workers.commands import generate

JVM = ("-Xms1g", "-Xmx8g", "-XX:+UseSerialGC")
"""Of 4 GB 4,000,000 nodes leave too little: its collector then works more than the server."""
QUOTA = ("--quota-backend-bytes", str(8 * 1024**3))
CHILDREN = 15
TIMEOUT = 300.0


class Timeline(NamedTuple):
    """Monotonic seconds: process start, its first connection to ZooKeeper, equality."""

    started: float
    connected: float
    equal: float


class Build(supervisors.Supervisor):
    """The supervisor of one build, by the Python that has it installed."""

    def __init__(self, folder: pathlib.Path, content: supervisors.Settings, python: str) -> None:
        super().__init__(folder, content)
        self.python = python

    def command(self) -> list[str]:
        return [self.python, *super().command()[1:]]

    def environment(self) -> dict[str, str]:
        found = super().environment()
        if self.python != sys.executable:
            del found["PYTHONPATH"]  # ours
        return found


class World:
    """A ZooKeeper that keeps its tree, and an etcd that is emptied between runs."""

    def __init__(self, box: servers.Sandbox, class_path: str | None = None) -> None:
        """:param class_path: of a ZooKeeper before 3.6, instead of the one installed."""
        self.box = box
        self._is_old = class_path is not None
        self.zookeeper = box.zookeeper(jvm=JVM, class_path=class_path)
        self.etcd = box.etcd(arguments=QUOTA)
        self.zookeeper.launch()
        self.etcd.start()
        self.zookeeper.wait_ready()
        self.writer = generate.Writer(self.zookeeper.address, session_timeout=30.0)
        self.channel: Any = bare_etcd.channel(self.etcd.address)
        self._runs = itertools.count(1)

    def close(self) -> None:
        self.channel.close()
        self.writer.close()

    def seed(self, path: str, nodes: int) -> None:
        """`nodes` Dubbo-like nodes at and below `path`."""
        services = nodes // (5 + CHILDREN) + 1
        self.writer.write(itertools.islice(generate.dubbo(path, services, CHILDREN), nodes))

    def warm(self, path: str) -> None:
        """Read all of `path` once: ZooKeeper's code is compiled and its heap settled after that."""
        client = bare_zookeeper.connect(self.zookeeper.address)
        for _ in bare_zookeeper.walk(client, path.encode()):
            pass
        bare_zookeeper.disconnect(client)

    def empty_etcd(self) -> None:
        """A new, empty etcd at the same address, so that no run works on another's history."""
        self.channel.close()
        self.etcd.stop()
        self.etcd.wipe()
        self.etcd.start()
        self.channel = bare_etcd.channel(self.etcd.address)

    @contextlib.contextmanager
    def supervisor(
        self,
        *prefixes: str | Mapping[str, Any],
        workers: int = 2,
        python: str = sys.executable,
        **sections: Any,
    ) -> Iterator[Build]:
        """A supervisor for these prefixes, not yet started; stopped at the end.

        :param python: which has the build that is to run.
        :param sections: of its configuration, in place of ours.
        """
        content = supervisors.settings(self.zookeeper, self.etcd, prefixes)
        content["workers"] = {"count": workers}
        content["state"] = {"prefix": f"zk2etcd/run{next(self._runs)}"}
        # Only the full syncs that a benchmark asks for.
        content["sync"]["full_sync_interval"] = 0
        content.update(sections)
        made = Build(self.run_folder(), content, python)
        self.box.adopt(made)
        try:
            yield made
        finally:
            made.stop()

    def run_folder(self) -> pathlib.Path:
        """A new folder's path."""
        return self.box.subfolder(f"run{next(self._runs)}")

    def bare(self, script: str, source: str, target: str, **options: Any) -> subprocess.Popen[str]:
        """Start a bare script as a process of its own."""
        module = [sys.executable, "-m", f"benchmarks.{script}"]
        return subprocess.Popen(
            [*module, self.zookeeper.address, self.etcd.address, source, target],
            env=supervisors.environment(),
            text=True,
            **options,
        )

    # --- the observer ---------------------------------------------------------------------------

    def connections(self) -> int:
        found = re.search(rb"Connections: (\d+)", self.zookeeper.ask("srvr"))
        return int(found[1]) if found else 0

    def watched(self, launch: Callable[[], object], target: str, keys: int) -> Timeline:
        """Launch something that fills `target` with `keys` keys below it, and time it from outside.

        Both sides are looked at in the same way, and cost the same: ZooKeeper's own count of
        connections until there is one more, then etcd's count of the keys, every 25 ms.
        """
        before = self.connections()
        started = time.monotonic()
        launch()
        while self.connections() <= before:
            pause(started, 0.005, "no connection to ZooKeeper")
        connected = time.monotonic()
        return Timeline(started, connected, self.filled(target, keys))

    def filled(self, target: str, keys: int) -> float:
        """When etcd held `keys` keys below `target`."""
        started = time.monotonic()
        while bare_etcd.count(self.channel, target.encode()) < keys:
            pause(started, 0.025, f"not {keys} keys below {target}")
        return time.monotonic()

    def assert_equal(self, source: str, target: str) -> int:
        """Compare keys and values of both sides, untimed; the number of nodes."""
        cut, to = len(source.encode()), target.encode()
        wanted = {to + path[cut:]: value for path, value in self._nodes(source)}
        present = {kv.key: kv.value for page in bare_etcd.pages(self.channel, to) for kv in page}
        if wanted != present:
            differing = [key for key, value in wanted.items() if present.get(key) != value]
            extra = present.keys() - wanted.keys()
            raise AssertionError(f"{len(differing)} missing or different, {len(extra)} extra")
        return len(wanted)

    def _nodes(self, source: str) -> list[tuple[bytes, bytes]]:
        if self._is_old:
            plain = bare_classic.Classic(self.zookeeper.address)
            with contextlib.closing(plain):
                return list(itertools.chain.from_iterable(plain.walk(source.encode())))
        client = bare_zookeeper.connect(self.zookeeper.address)
        found = list(itertools.chain.from_iterable(bare_zookeeper.walk(client, source.encode())))
        bare_zookeeper.disconnect(client)
        return found


def pause(started: float, seconds: float, what: str) -> None:
    """Wait a moment; AssertionError once `what` has been so for too long since `started`."""
    if time.monotonic() - started > TIMEOUT:
        raise AssertionError(f"{what} after {TIMEOUT:g} s")
    time.sleep(seconds)


@contextlib.contextmanager
def opened() -> Iterator[World]:
    with servers.opened() as box:
        made = World(box)
        try:
            yield made
        finally:
            made.close()
