"""An etcd cluster of several members on loopback, with a login or TLS where a test wants them."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import ssl
import subprocess
import time
from collections.abc import Sequence
from typing import Any

from tests import certificates, polling
from zk2etcd.sandbox import server_process, servers


class Member(servers.Etcd):
    """One member; restarts keep its port, its data and its place in the cluster."""

    number = 0
    peers: Sequence[str] = ()
    extra: Sequence[str] = ()
    """Flags of this member alone."""

    @property
    def peer(self) -> str:
        return f"http://127.0.0.1:{self._peer_port}"

    def command(self) -> list[str]:
        given = super().command()
        for flag, value in (
            ("--name", f"m{self.number}"),
            ("--initial-cluster", ",".join(f"m{at}={url}" for at, url in enumerate(self.peers))),
        ):
            given[given.index(flag) + 1] = value
        # Slower than in a single member's: two cores are shared by all of them.
        given[given.index("--heartbeat-interval") + 1] = "100"
        given[given.index("--election-timeout") + 1] = "1000"
        return [*given, *self.extra]


class Cluster:
    """`count` members, started; each is ended with the sandbox."""

    def __init__(
        self, box: servers.Sandbox, count: int = 3, *, arguments: Sequence[str] = ()
    ) -> None:
        self.members = [
            box.adopt(Member(box.subfolder("member"), durable=False, arguments=arguments))
            for _ in range(count)
        ]
        for number, member in enumerate(self.members):
            member.number = number
            member.peers = [each.peer for each in self.members]
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_ready()

    @property
    def urls(self) -> list[str]:
        return [member.url for member in self.members]

    def add_learner(self, box: servers.Sandbox) -> Member:
        """A further member, started, that has no vote."""
        learner = box.adopt(Member(box.subfolder("learner"), durable=False))
        learner.number = len(self.members)
        learner.peers = [*self.members[0].peers, learner.peer]
        learner.extra = ("--initial-cluster-state", "existing")
        name, peer = f"m{learner.number}", f"--peer-urls={learner.peer}"
        etcdctl(self.urls[0], "member", "add", name, "--learner", peer)
        learner.launch()
        polling.until(lambda: _answers_alone(learner), 20, what="the learner")
        return learner

    def leader(self) -> Member:
        """The member that leads, once all that live agree."""
        found = polling.until(self._leader, 20, what="a leader")
        assert found is not None
        return found

    def _leader(self) -> Member | None:
        status = {}
        for member in self.members:
            if member.alive:
                with contextlib.suppress(AssertionError, subprocess.TimeoutExpired, ValueError):
                    said = etcdctl(member.url, "endpoint", "status", "-w", "json")
                    status[member] = said[0]["Status"]
        leaders = {each["leader"] for each in status.values()}
        found = [m for m, each in status.items() if each["header"]["member_id"] in leaders]
        return found[0] if len(leaders) == 1 and len(found) == 1 else None


def _answers_alone(member: Member) -> bool:
    """Whether it answers what a learner answers too."""
    with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
        return bool(etcdctl(member.url, "endpoint", "status", "-w", "json"))
    return False


class TlsEtcd(servers.Etcd):
    """One member that speaks TLS to its clients and wants their certificates."""

    files: Sequence[str] = ()
    client: tuple[str, str, str] = ("", "", "")

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    def command(self) -> list[str]:
        cert, key, ca = self.files
        trust = ("--trusted-ca-file", ca, "--client-cert-auth")
        return [*super().command(), "--cert-file", cert, "--key-file", key, *trust]

    def ready(self) -> bool:
        """It is healthy, as a client is told whose certificate it trusts: it takes connections
        before it answers them."""
        ca, cert, key = self.client
        context = ssl.create_default_context(cafile=ca)
        context.check_hostname = False
        context.load_cert_chain(cert, key)
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=2.0, context=context
        )
        with (
            contextlib.closing(connection),
            contextlib.suppress(OSError, http.client.HTTPException),
        ):
            connection.request("GET", "/health")
            return b'"true"' in connection.getresponse().read()
        return False


def tls(
    box: servers.Sandbox,
    server: certificates.Certificate,
    ca: str,
    client: certificates.Certificate,
) -> TlsEtcd:
    """One that shows `server`, and trusts what `ca` has signed, such as `client`."""
    made = box.adopt(TlsEtcd(box.subfolder("etcd"), durable=False))
    made.files = (server.cert, server.key, ca)
    made.client = (ca, client.cert, client.key)
    return made


def etcdctl(url: str, *words: str, user: str = "") -> Any:
    """Run it; the answer, parsed if it is JSON."""
    login = ("--user", user) if user else ()
    done = subprocess.run(
        ["etcdctl", "--endpoints", url, "--command-timeout", "5s", *login, *words],
        capture_output=True,
        check=False,
        timeout=20,
        env={"ETCDCTL_API": "3", "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    assert done.returncode == 0, (words, done.stderr[-500:])
    return json.loads(done.stdout) if "json" in words else done.stdout.decode()


def write_pem(source: str, target: pathlib.Path) -> None:
    """Put a file in place as an operator's tool does: at once, by a rename."""
    beside = target.with_suffix(f".{time.monotonic_ns()}")
    beside.write_bytes(pathlib.Path(source).read_bytes())
    beside.replace(target)


def unused() -> str:
    """A URL at which nobody answers."""
    return f"http://127.0.0.1:{server_process.free_port()}"


ROOT = "root:secret"
USER = "mirror:word"


def logins(url: str, state: str, *targets: str) -> None:
    """Switch logins on: root, and `mirror` with exactly the rights of docs/etcd.md: each target
    itself and the keys below it, and those below `state`."""
    etcdctl(url, "user", "add", ROOT)
    etcdctl(url, "role", "add", "mirror")
    for target in targets:
        etcdctl(url, "role", "grant-permission", "mirror", "readwrite", target)
    for below in (*(f"{target}/" for target in targets), f"{state}/"):
        etcdctl(url, "role", "grant-permission", "mirror", "readwrite", "--prefix=true", below)
    etcdctl(url, "user", "add", USER)
    etcdctl(url, "user", "grant-role", "mirror", "mirror")
    etcdctl(url, "user", "grant-role", "root", "root")
    etcdctl(url, "auth", "enable")


def login() -> dict[str, str]:
    """The keys of an `etcd` section for that user."""
    name, _, password = USER.partition(":")
    return {"username": name, "password": password}
