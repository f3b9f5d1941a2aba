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
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence

from zk2etcd import errors

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02

JAVA_FOLDER = pathlib.Path("/usr/share/java")
ZOOKEEPER_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
QUICK_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A JVM that starts fast and stays small, for runs of seconds."""

PORTS = range(20_000, 32_000)
"""Below Linux's ephemeral range: a client that knocks at a stopped server's port again and again
could otherwise be handed that very port as its own, connect to itself, and block the restart."""


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on right now.

    Raises errors.StartError when a hundred tries found none.
    """
    for _ in range(100):
        port = random.choice(PORTS)
        with contextlib.closing(socket.socket()) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise errors.StartError(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def missing() -> list[str]:
    """The Debian packages that the servers need and that are not installed, by what is absent."""
    wanted = {
        "default-jre-headless": shutil.which("java"),
        "zookeeper": (JAVA_FOLDER / "zookeeper.jar").exists(),
        "etcd-server": shutil.which("etcd"),
    }
    return [package for package, found in wanted.items() if not found]


def require() -> None:
    """Raise errors.StartError naming the packages to install, if any are missing."""
    if packages := missing():
        names = " ".join(packages)
        raise errors.StartError(
            f"the sandbox needs a real ZooKeeper and etcd: apt-get install {names}"
        )


class Server:
    """One server process with its folder and log; restarts keep port and data."""

    name = "server"

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.data = folder / "data"
        self.log = folder / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = READY_SECONDS) -> None:
        """Start, and return once it answers. Raises errors.StartError with the end of its log."""
        self.launch()
        self.wait_ready(timeout)

    def launch(self) -> None:
        """Start without waiting, so that several servers can come up side by side."""
        require()
        if self.alive:
            return
        self.data.mkdir(exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_bound_to_us(), *self.command()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which ends its servers in order
            )

    def wait_ready(self, timeout: float = READY_SECONDS) -> None:
        deadline = time.monotonic() + timeout
        while not self.ready():
            if not self.alive or time.monotonic() > deadline:
                end = self.log.read_text("utf-8", "replace")[-2000:]
                self.kill()
                raise errors.StartError(f"{self.name} at {self.address} did not start:\n{end}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End it in good order; killed if that takes longer than 10 s."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL: what it had not written is lost, as in a crash."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open, nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Throw all data away, as a restore from nothing does; only while stopped."""
        if self.alive:
            raise errors.UsageError(f"{self.name} is running: stop it before its data is wiped")
        shutil.rmtree(self.data, ignore_errors=True)

    def command(self) -> list[str]:
        raise errors.UsageError(f"{type(self).__name__} has no command")

    def ready(self) -> bool:
        return self.alive

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise errors.UsageError(f"{self.name} is not running")
        return self._process


class ZooKeeper(Server):
    """A standalone ZooKeeper. `durable=False` skips fsync: fast, and wrong only after a crash."""

    name = "ZooKeeper"

    def __init__(
        self,
        folder: pathlib.Path,
        *,
        durable: bool = True,
        jvm: Sequence[str] = QUICK_JVM,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__(folder)
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
            *("-cp", _class_path(), ZOOKEEPER_MAIN, str(config)),
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


class Etcd(Server):
    """A single etcd member. `durable=False` skips fsync where this etcd can (3.5 and later)."""

    name = "etcd"

    def __init__(
        self, folder: pathlib.Path, *, durable: bool = True, arguments: Sequence[str] = ()
    ) -> None:
        super().__init__(folder)
        self._peer_port = free_port()
        self._durable = durable
        self._arguments = tuple(arguments)

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def command(self) -> list[str]:
        peer = f"http://127.0.0.1:{self._peer_port}"
        fsync = (
            () if self._durable or not _etcd_knows("unsafe-no-fsync") else ("--unsafe-no-fsync",)
        )
        return [
            *("etcd", "--name", "sandbox", "--data-dir", str(self.data)),
            *("--listen-client-urls", self.url, "--advertise-client-urls", self.url),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"sandbox={peer}"),
            *("--heartbeat-interval", "50", "--election-timeout", "500"),
            *("--logger", "zap", "--log-level", "warn"),
            *fsync,
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


class Sandbox:
    """A folder and the servers in it. Close it, or use `opened`, to end and remove everything."""

    def __init__(self) -> None:
        require()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="zk2etcd-sandbox-"))
        self._servers: list[Server] = []

    def zookeeper(
        self,
        *,
        durable: bool = True,
        jvm: Sequence[str] = QUICK_JVM,
        settings: Sequence[str] = (),
    ) -> ZooKeeper:
        """A new ZooKeeper, not yet started. `settings` are further lines of zoo.cfg."""
        folder = self._next("zookeeper")
        server = ZooKeeper(folder, durable=durable, jvm=jvm, settings=settings)
        self._servers.append(server)
        return server

    def etcd(self, *, durable: bool = True, arguments: Sequence[str] = ()) -> Etcd:
        """A new etcd, not yet started. `arguments` are further command line flags."""
        server = Etcd(self._next("etcd"), durable=durable, arguments=arguments)
        self._servers.append(server)
        return server

    def close(self) -> None:
        for server in reversed(self._servers):
            server.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _next(self, kind: str) -> pathlib.Path:
        return self.folder / f"{kind}-{len(self._servers)}"


@contextlib.contextmanager
def opened() -> Iterator[Sandbox]:
    """A sandbox that is closed at the end, whatever happens."""
    sandbox = Sandbox()
    try:
        yield sandbox
    finally:
        sandbox.close()


def _bound_to_us() -> list[str]:
    """A prefix that makes the kernel end the server when we die without a chance to clean up.

    The kernel looks at the *thread* that started it, so only the main thread may ask for this.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or threading.current_thread() is not threading.main_thread():
        return []
    return [setpriv, "--pdeathsig", "KILL"]


def _class_path() -> str:
    """ZooKeeper's jar names its own libraries; a binding for its logs is used if installed."""
    jars = [JAVA_FOLDER / "zookeeper.jar", JAVA_FOLDER / "slf4j-api.jar"]
    jars.append(JAVA_FOLDER / "slf4j-simple.jar")
    return os.pathsep.join(str(jar) for jar in jars if jar.exists())


@functools.cache
def _etcd_knows(flag: str) -> bool:
    """Whether this etcd has the command line flag `--<flag>`."""
    asked = subprocess.run(["etcd", "--help"], capture_output=True, check=False, timeout=30)
    return f"--{flag}".encode() in asked.stdout + asked.stderr
