"""What a demo step works with: servers, a supervisor, and a hand on each side to change and look.

The hands are the data plane's own clients, imported here only, so that `zk2etcd demo` shows the
product and no second implementation of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zk2etcd import errors, metrics
from zk2etcd.config import connections
from zk2etcd.sandbox import server_process, servers, supervisor as supervisors

if TYPE_CHECKING:
    from zk2etcd_workers.commands import generate
    from zk2etcd_workers.etcd import client as etcd

POLL_SECONDS = 0.001


class Broken(errors.Zk2EtcdError):
    """A step did not see what is promised."""


class Stage:
    """Private servers in one sandbox; the supervisor is started by its step."""

    def __init__(self, box: servers.Sandbox) -> None:
        self.box = box
        self.zookeeper = box.zookeeper()
        self.etcd = box.etcd()
        self._supervisor: supervisors.Supervisor | None = None
        self._writer: generate.Writer | None = None
        self._client: etcd.Client | None = None

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._client is not None:
            self._client.close()

    @property
    def supervisor(self) -> supervisors.Supervisor:
        if self._supervisor is None:
            raise Broken("the supervisor was not started")
        return self._supervisor

    def supervise(self, content: supervisors.Settings) -> supervisors.Supervisor:
        """A supervisor for this config, not yet started; ended with the sandbox."""
        made = supervisors.Supervisor(self.box.subfolder("zk2etcd"), content)
        self._supervisor = self.box.adopt(made)
        return made

    def join(self) -> supervisors.Supervisor:
        """Another one with the first's configuration, not yet started; ended likewise."""
        content = self.supervisor.content
        return self.box.adopt(supervisors.Supervisor(self.box.subfolder("zk2etcd"), content))

    def command(self, *arguments: str) -> tuple[int, str]:
        """Run a `zk2etcd` command on the supervisor's file: (exit code, what it printed)."""
        done = supervisors.run(*arguments, "-c", str(self.supervisor.config))
        return done.returncode, done.stdout + done.stderr

    def expect_equal(self) -> None:
        """Broken if `zk2etcd diff` finds anything."""
        code, text = self.command("diff")
        if code != 0:
            raise Broken(f"diff exited {code} and said: {text.strip()}")

    # --- ZooKeeper ------------------------------------------------------------------------------

    def connect(self) -> generate.Writer:
        """A further session of one's own; close it."""
        from zk2etcd_workers.commands import generate  # noqa: PLC0415

        return generate.Writer(self.zookeeper.address)

    @property
    def writer(self) -> generate.Writer:
        if self._writer is None:
            self._writer = self.connect()
        return self._writer

    def reconnect(self) -> None:
        """Give up the writer's session: its ensemble was replaced."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def seed(self, items: Iterable[generate.Item]) -> generate.Written:
        return self.writer.write(items)

    # --- etcd -----------------------------------------------------------------------------------

    @property
    def client(self) -> etcd.Client:
        if self._client is None:
            from zk2etcd_workers.etcd import client as etcd  # noqa: PLC0415

            settings = connections.Etcd(endpoints=(self.etcd.url,))
            self._client = etcd.Client(settings, metrics.null())
        return self._client

    def value(self, key: str) -> bytes | None:
        """The key's value in etcd; None if it is absent."""
        found = self.client.range(key.encode()).kvs
        return found[0].value if found else None

    def revision(self, key: str) -> int:
        """The key's mod_revision in etcd; 0 if it is absent."""
        found = self.client.range(key.encode()).kvs
        return found[0].revision if found else 0

    def keys(self, prefix: str) -> int:
        """How many keys etcd has at and below `prefix`."""
        own = self.client.range(prefix.encode(), count_only=True)
        below = self.client.range(f"{prefix}/".encode(), f"{prefix}0".encode(), count_only=True)
        return own.total + below.total

    def put(self, key: str, value: bytes) -> None:
        """Write past zk2etcd, as a stranger would."""
        from zk2etcd_workers.etcd import wire  # noqa: PLC0415

        self.client.txn(wire.Txn((), (wire.Put(key.encode(), value),)))


def until(
    condition: Callable[[], bool],
    timeout: float,
    what: str,
    every: float = server_process.POLL_SECONDS,
) -> float:
    """Seconds until `condition` held; Broken with `what` after `timeout` seconds."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > timeout:
            raise Broken(f"not within {timeout:g} s: {what}")
        time.sleep(every)
    return time.monotonic() - started


class Probe:
    """Changes one node again and again, and sees each change arrive in etcd, until stopped.

    `worst` is the longest time any of them took, in seconds; `changes` how many there were.
    """

    def __init__(self, stage: Stage, path: str, pause: float = 0.02) -> None:
        self.worst = 0.0
        self.changes = 0
        self._stage, self._path, self._pause = stage, path, pause
        self._failure: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def check(self) -> None:
        """Broken if the probe itself could not go on."""
        if self._failure is not None:
            raise Broken(f"the probe on {self._path} failed: {self._failure}")

    def _run(self) -> None:
        try:
            with self._stage.connect() as writer:
                while not self._over.wait(self._pause):
                    self._change(writer)
        except errors.Zk2EtcdError as error:
            self._failure = error

    def _change(self, writer: generate.Writer) -> None:
        self.changes += 1
        value = f"change {self.changes}".encode()
        writer.set(self._path, value)
        took = until(
            lambda: self._stage.value(self._path) == value,
            20,
            f"{self._path} in etcd",
            POLL_SECONDS,
        )
        self.worst = max(self.worst, took)
