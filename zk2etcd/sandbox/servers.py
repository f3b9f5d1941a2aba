"""A private ZooKeeper and etcd on loopback, for the demo, the tests and the benchmarks.

Only real servers show what a mirror does, and only private ones may be killed, frozen and wiped.
Everything lives in one folder that is removed at the end; every process is ended by its own pid.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from zk2etcd import errors
from zk2etcd.sandbox import server_process

JAVA_FOLDER = pathlib.Path("/usr/share/java")
ZOOKEEPER_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
QUICK_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A JVM that starts fast and stays small, for runs of seconds."""


def missing() -> list[str]:
    """The Debian packages that the servers need and that are not installed, by what is absent."""
    wanted = {
        "default-jre-headless": shutil.which("java"),
        "zookeeper": (JAVA_FOLDER / "zookeeper.jar").exists(),
        "etcd-server": shutil.which("etcd"),
        "etcd-client": shutil.which("etcdctl"),
    }
    return [package for package, found in wanted.items() if not found]


def require() -> None:
    """Raise errors.StartError naming the packages to install, if any are missing."""
    if packages := missing():
        names = " ".join(packages)
        raise errors.StartError(
            f"the sandbox needs a real ZooKeeper and etcd: apt-get install {names}"
        )


class ZooKeeper(server_process.Server):
    """A standalone ZooKeeper. `durable=False` skips fsync: fast, and wrong only after a crash."""

    name = "ZooKeeper"

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        durable: bool = True,
        jvm: Sequence[str] = QUICK_JVM,
        settings: Sequence[str] = (),
        class_path: str | None = None,
    ) -> None:
        """:param settings: further lines of zoo.cfg.
        :param class_path: of another release than the one installed.
        """
        super().__init__(folder)
        self._class_path = class_path or _class_path()
        self._durable = durable
        self._jvm = tuple(jvm)
        self._settings = tuple(settings)

    def command(self) -> list[str]:
        config = self.folder / "zoo.cfg"
        config.write_text("\n".join((*self._defaults(), *self._settings)) + "\n", "utf-8")
        properties = [
            "-Dzookeeper.extendedTypesEnabled=true",  # TTL nodes
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            f"-Dzookeeper.forceSync={'yes' if self._durable else 'no'}",
        ]
        return [
            *("java", *self._jvm, *properties),
            *("-cp", self._class_path, ZOOKEEPER_MAIN, str(config)),
        ]

    def _defaults(self) -> tuple[str, ...]:
        return (
            "tickTime=500",
            "minSessionTimeout=500",
            "maxSessionTimeout=60000",
            f"dataDir={self.data}",
            f"clientPort={self.port}",
            "clientPortAddress=127.0.0.1",
            "maxClientCnxns=0",
            "admin.enableServer=false",
            "4lw.commands.whitelist=*",
        )

    def ready(self) -> bool:
        return b"Mode:" in self.ask("srvr")

    def ask(self, word: str, timeout: float = 2.0) -> bytes:
        """The answer to a four-letter word; empty when there is none."""
        answer = b""
        with contextlib.suppress(OSError):
            peer = socket.create_connection(("127.0.0.1", self.port), timeout)
            with contextlib.closing(peer):
                peer.sendall(word.encode())
                while part := peer.recv(65536):
                    answer += part
        return answer


class Etcd(server_process.Server):
    """A single etcd member. `durable=False` skips fsync where this etcd can (3.5 and later)."""

    name = "etcd"

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        durable: bool = True,
        arguments: Sequence[str] = (),
        binary: str = "etcd",
    ) -> None:
        """:param arguments: further command line flags.
        :param binary: the program, if it is another release than the one installed.
        """
        super().__init__(folder)
        self._program = binary
        self._peer_port = server_process.free_port()
        self._durable = durable
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def command(self) -> list[str]:
        peer = f"http://127.0.0.1:{self._peer_port}"
        knows = functools.partial(_etcd_knows, self._program)
        quick = not self._durable and knows("unsafe-no-fsync")
        return [
            *(self._program, "--name", "sandbox", "--data-dir", str(self.data)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"sandbox={peer}"),
            *("--heartbeat-interval", "50", "--election-timeout", "500"),
            *(("--logger", "zap", "--log-level", "warn") if knows("logger") else ()),
            *(("--unsafe-no-fsync",) if quick else ()),
            *self._arguments,
        ]

    def ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        return False

    def save(self, snapshot: pathlib.Path) -> None:
        """Write a snapshot of what it holds now, as a backup does."""
        asked = ("--endpoints", self.url, *self.client_arguments())
        self._tool("etcdctl", *asked, "snapshot", "save", str(snapshot))

    def client_arguments(self) -> list[str]:
        """What etcdctl has to be told beside the endpoint; a subclass has a login, say."""
        return []

    def restore(self, snapshot: pathlib.Path, bump: int = 0) -> None:
        """Put its data back to that snapshot; only while stopped.

        :param bump: raise all revisions by so much, and have the older ones compacted, as etcd's
            manual advises; only where there is an etcdutl that can.
        """
        self.wipe()
        given = self.command()
        same = ("--name", "--data-dir", "--initial-cluster", "--initial-advertise-peer-urls")
        flags = [word for flag in same for word in (flag, given[given.index(flag) + 1])]
        raised = ("--bump-revision", str(bump), "--mark-compacted") if bump else ()
        self._tool(self._restorer(), "snapshot", "restore", str(snapshot), *flags, *raised)

    def _restorer(self) -> str:
        """etcd's own beside it, if it has one: etcdctl has lost the command with 3.6."""
        beside = pathlib.Path(shutil.which(self._program) or self._program).with_name("etcdutl")
        return str(beside) if beside.exists() else "etcdctl"

    def _tool(self, *command: str) -> None:
        done = subprocess.run(
            command,
            env={**os.environ, "ETCDCTL_API": "3"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        if done.returncode != 0:
            raise errors.StartError(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-500:]}")


Adopted = TypeVar("Adopted", bound=server_process.Server)


class Sandbox:
    """A folder and the servers in it. Close it, or use `opened`, to end and remove everything."""

    def __init__(self) -> None:
        require()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zk2etcd-sandbox-"))
        self._servers: list[server_process.Server] = []

    def zookeeper(self, **options: Any) -> ZooKeeper:
        """A new ZooKeeper, not yet started; `options` are those of its class."""
        return self.adopt(ZooKeeper(self.subfolder("zookeeper"), **options))

    def etcd(self, **options: Any) -> Etcd:
        """A new etcd, not yet started; `options` are those of its class."""
        return self.adopt(Etcd(self.subfolder("etcd"), **options))

    def adopt(self, server: Adopted) -> Adopted:
        """Have `server` ended with the sandbox; later ones go first."""
        self._servers.append(server)
        return server

    def close(self) -> None:
        for server in reversed(self._servers):
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def subfolder(self, kind: str) -> pathlib.Path:
        """A fresh folder's path for one server."""
        return self.folder / f"{kind}-{len(self._servers)}"


@contextlib.contextmanager
def opened() -> Iterator[Sandbox]:
    """A sandbox that is closed at the end, whatever happens."""
    sandbox = Sandbox()
    try:
        yield sandbox
    finally:
        sandbox.close()


def _class_path() -> str:
    """ZooKeeper's jar names its own libraries, but not all that its TLS needs; a binding for its
    logs is used if installed."""
    names = ["zookeeper", "slf4j-api", "slf4j-simple", "netty-codec", "netty-resolver"]
    jars = [JAVA_FOLDER / f"{name}.jar" for name in names]
    return os.pathsep.join(str(jar) for jar in jars if jar.exists())


@functools.cache
def _etcd_knows(binary: str, flag: str) -> bool:
    """Whether this etcd has the command line flag `--<flag>`."""
    asked = subprocess.run([binary, "--help"], capture_output=True, check=False, timeout=30)
    return f"--{flag}".encode() in asked.stdout + asked.stderr
