"""Ensembles of the sandbox's servers: three ZooKeepers whose links can be held, three etcds.

Each may be of another release: a class path for ZooKeeper, a binary for etcd.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import json
import pathlib
import subprocess
from typing import Any

from tests import copies, proxy, zookeeper_admin
from tests.faults import login
from zk2etcd.sandbox import server_process, servers as sandboxes


@dataclasses.dataclass(frozen=True)
class Servers:
    """Which servers a world is made of. None: what this machine has installed."""

    zookeepers: int = 1
    etcds: int = 1
    zookeeper_classpath: str | None = None
    zookeeper_admin: bool = False
    """It has an admin server that can put it back, as 3.9 has."""
    etcd_binary: str | None = None
    etcd_quota: int | None = None
    """Bytes; a small one makes NOSPACE quick to reach."""
    line: int | None = None
    """Bytes a second that pass between zk2etcd and each of them, in each direction; None: all."""
    logins: bool = False
    """etcd asks who is there."""
    prefixes: int = 0
    """Small ones that are mirrored beside the others."""
    patterns: bool = False
    """Some of the others are mirrored by patterns."""
    drift: bool = False
    """Strangers write into what is mirrored, a watch is to tell of it, and no full sync is due."""
    share: bool = False
    """Several supervisors share all that, each with ways of its own to the servers."""

    @property
    def supervisors(self) -> int:
        """How many there are; where they share, all of them run."""
        return 3 if self.share else 2

    @property
    def can_bump(self) -> bool:
        """Whether this etcd's tool raises revisions when it restores a snapshot."""
        if self.etcd_binary is None:
            return False
        tool = pathlib.Path(self.etcd_binary).with_name("etcdutl")
        if not tool.exists():
            return False
        asked = subprocess.run(
            [tool, "snapshot", "restore", "--help"], capture_output=True, check=False, timeout=20
        )
        return b"--bump-revision" in asked.stdout + asked.stderr

    @property
    def name(self) -> str:
        """What a report calls it."""
        zookeeper = "other" if self.zookeeper_classpath else "installed"
        etcd = "other" if self.etcd_binary else "installed"
        small = f", {self.prefixes} small prefixes" if self.prefixes else ""
        thin = f" over {self.line} bytes/s" if self.line else ""
        made_of = f"{self.zookeepers} ZooKeeper ({zookeeper}), {self.etcds} etcd ({etcd})"
        wild = ", patterns" if self.patterns else ""
        several = f", {self.supervisors} share" if self.share else ""
        return made_of + small + wild + several + thin


INSTALLED = Servers()


class ZooKeeper(sandboxes.ZooKeeper):
    """A member of an ensemble, or all of it; of any release."""

    def __init__(
        self,
        folder: pathlib.Path,
        classpath: str | None,
        admin: zookeeper_admin.Admin | None = None,
    ) -> None:
        options = {} if admin is None else {"jvm": admin.jvm(), "settings": admin.settings()}
        super().__init__(folder, durable=False, class_path=classpath, **options)
        self.admin = admin
        self.quorum_port = server_process.free_port()
        self.election_port = server_process.free_port()
        self.number = 0
        self.peers: list[str] = []

    def command(self) -> list[str]:
        if self.number:
            (self.data / "myid").write_text(f"{self.number}\n", "ascii")
            admin = self.admin.settings() if self.admin else ()
            self._settings = ("initLimit=20", "syncLimit=8", *self.peers, *admin)
        return super().command()

    def twin(self, folder: pathlib.Path) -> ZooKeeper:
        """A standalone server, not yet started, that knows what this one has logged by now, and
        will never learn of anything later."""
        made = ZooKeeper(folder, self._class_path)
        copies.copy(self, made.data)
        return made

    def mode(self) -> str:
        """leader, follower, standalone; empty when it does not say."""
        lines = self.ask("srvr").decode("utf-8", "replace").splitlines()
        return next((line[6:] for line in lines if line.startswith("Mode: ")), "")


class Etcd(sandboxes.Etcd):
    """A member of a cluster, or all of it; of any release."""

    def __init__(self, folder: pathlib.Path, name: str, servers: Servers) -> None:
        self.quota = servers.etcd_quota
        self._logins = servers.logins
        arguments = login.CHEAP if servers.logins else ()
        binary = servers.etcd_binary or "etcd"
        super().__init__(folder, durable=True, arguments=arguments, binary=binary)
        self._name = name
        self.cluster = ""

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self._peer_port}"

    @property
    def member(self) -> str:
        """Its part of `--initial-cluster`."""
        return f"{self._name}={self.peer_url}"

    def ready(self) -> bool:
        """It answers a linearizable read; its /health would say no while an alarm stands."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("POST", "/v3/kv/range", b'{"key": "AA=="}')
            answer = connection.getresponse()
            return answer.status == 200 or b"user name is empty" in answer.read()
        return False

    def leads(self) -> bool:
        """Whether it says that it is its cluster's leader."""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            said = self._ask("/v3/maintenance/status", b"{}")
            return bool(said["leader"] == said["header"]["member_id"])
        return False

    def revision(self) -> int:
        """1 as long as nothing was written."""
        return int(self._header()["revision"])

    def cluster_id(self) -> str:
        """As its log has it."""
        return f"{int(self._header()['cluster_id']):x}"

    def _header(self) -> dict[str, str]:
        found: dict[str, str] = self._ask("/v3/kv/range", b'{"key": "AA=="}')["header"]
        return found

    def _ask(self, path: str, body: bytes) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5.0)
        with contextlib.closing(connection):
            connection.request("POST", path, body)
            return json.loads(connection.getresponse().read())

    def client_arguments(self) -> list[str]:
        return ["--user", f"{login.USER}:{login.PASSWORD}"] if self._logins else []

    def command(self) -> list[str]:
        command = super().command()
        command[command.index("--name") + 1] = self._name
        command[command.index("--initial-cluster") + 1] = self.cluster or self.member
        if self.quota is not None:
            command += ["--quota-backend-bytes", str(self.quota)]
        return command


def ensemble(box: sandboxes.Sandbox, servers: Servers) -> tuple[list[ZooKeeper], list[proxy.Proxy]]:
    """ZooKeepers, not yet started, and the proxies of the links between them: each member reaches
    every other one's quorum port through a proxy of its own, so that a follower can lag behind."""
    made = []
    for _ in range(servers.zookeepers):
        admin = zookeeper_admin.Admin() if servers.zookeeper_admin else None
        folder = box.subfolder("zookeeper")
        made.append(box.adopt(ZooKeeper(folder, servers.zookeeper_classpath, admin)))
    if len(made) == 1:
        return made, []
    links = []
    for number, member in enumerate(made, 1):
        member.number = number
        for other, peer in enumerate(made, 1):
            port = peer.quorum_port
            if peer is not member:
                at = ("127.0.0.1", server_process.free_port())
                links.append(proxy.Proxy(f"127.0.0.1:{port}", at=at))
                port = links[-1].port
            member.peers.append(f"server.{other}=127.0.0.1:{port}:{peer.election_port}")
    return made, links


def cluster(box: sandboxes.Sandbox, servers: Servers) -> list[Etcd]:
    """etcds, not yet started."""
    made = [
        box.adopt(Etcd(box.subfolder("etcd"), f"e{number}", servers))
        for number in range(servers.etcds)
    ]
    members = ",".join(each.member for each in made)
    for each in made:
        each.cluster = members
    return made
