"""ZooKeeper 3.9's admin server: a snapshot streamed out of a running server, and put back into it,
under its live sessions."""

from __future__ import annotations

import dataclasses
import http.client
import urllib.request

from zk2etcd.sandbox import server_process, servers

ERRORS = (OSError, http.client.HTTPException)
"""It did not answer, or refused."""


@dataclasses.dataclass(frozen=True)
class Admin:
    """The way to one; the port is free until its ZooKeeper is started."""

    port: int = dataclasses.field(default_factory=server_process.free_port)

    @property
    def _options(self) -> dict[str, str]:
        return {
            "admin.enableServer": "true",
            "admin.serverPort": str(self.port),
            "admin.serverAddress": "127.0.0.1",
            "admin.rateLimiterIntervalInMS": "10",
        }

    def jvm(self) -> tuple[str, ...]:
        """What starts it with the server's Java."""
        own = (f"-Dzookeeper.{key}={value}" for key, value in self._options.items())
        return (*servers.QUICK_JVM, *own)

    def settings(self) -> tuple[str, ...]:
        """The same for zoo.cfg."""
        return tuple(f"{key}={value}" for key, value in self._options.items())

    def snapshot(self) -> bytes:
        """:raises OSError: see `ERRORS`."""
        return self._ask("snapshot?streaming=true", None)

    def restore(self, snapshot: bytes) -> None:
        """The tree is what it was then, at once; zxids go on from where they were.

        :raises OSError: see `ERRORS`.
        """
        self._ask("restore", snapshot)

    def _ask(self, command: str, body: bytes | None) -> bytes:
        headers = {
            "Authorization": "digest some:body",
            "Content-Type": "application/octet-stream",
        }
        address = f"http://127.0.0.1:{self.port}/commands/{command}"
        request = urllib.request.Request(address, body, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            found: bytes = answer.read()
            return found
