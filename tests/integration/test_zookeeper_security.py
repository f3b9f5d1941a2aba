"""Digest, SASL and TLS to a real ZooKeeper: what works, and what is said when it does not."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import kazoo.security
import psutil
import pytest

from tests import certificates, polling, proxy
from tests.integration import mirroring
from zk2etcd.config import connections
from zk2etcd.logs import logger
from zk2etcd.sandbox import server_process, servers, supervisor
from zk2etcd_workers.commands import probe_zookeeper
from zk2etcd_workers.zookeeper import connection

SECRET = "sesame-and-more"
QUICK = {"session_timeout": 2.0, "connect_timeout": 2.0}
DIGEST = {"scheme": "digest", "credentials": f"mirror:{SECRET}"}
SASL = {"mechanism": "DIGEST-MD5", "username": "mirror", "password": SECRET}
JAAS = f"""Server {{
  org.apache.zookeeper.server.auth.DigestLoginModule required
  user_mirror="{SECRET}";
}};
"""


class Secured(NamedTuple):
    """A ZooKeeper that knows SASL on its plain port and asks for certificates on `tls`."""

    server: servers.ZooKeeper
    tls: int
    ours: certificates.Authority
    other: certificates.Authority
    client: certificates.Certificate

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.tls}"

    def settings(self, **changed: Any) -> dict[str, Any]:
        return {"ca": self.ours.ca, "cert": self.client.cert, "key": self.client.key, **changed}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    ours, other = (certificates.Authority(folder, name) for name in ("ours", "other"))
    jaas = folder / "jaas.conf"
    jaas.write_text(JAAS, "ascii")
    port = server_process.free_port()
    settings = [
        "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
        f"secureClientPort={port}",
        "secureClientPortAddress=127.0.0.1",
        f"ssl.keyStore.location={ours.issue('server', 'IP:127.0.0.1').together()}",
        f"ssl.trustStore.location={ours.ca}",
        "ssl.clientAuth=need",
        "authProvider.sasl=org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
    ]
    with servers.opened() as box:
        login = f"-Djava.security.auth.login.config={jaas}"
        allowed = "-Dzookeeper.fips-mode=false"  # or 3.9 has no DIGEST-MD5
        server = box.zookeeper(
            durable=False, jvm=(*servers.QUICK_JVM, login, allowed), settings=settings
        )
        server.start()
        yield Secured(server, port, ours, other, ours.issue("mirror"))


@pytest.fixture
def world(secured: Secured, etcd: servers.Etcd, prefix: str) -> Iterator[mirroring.World]:
    """A prefix of one's own on the secured ZooKeeper; the observer comes in by the plain port."""
    with mirroring.World(secured.server.address, etcd.address, prefix) as made:
        made.zk.add_auth("digest", f"mirror:{SECRET}")
        yield made


def _protect(world: mirroring.World, *others: Any) -> None:
    """Three nodes that only the observer, and `others`, may read."""
    acl = [kazoo.security.make_digest_acl("mirror", SECRET, all=True), *others]
    for name in ((), ("a",), ("a", "b")):
        world.zk.create(world.path(*name), b"secret", acl=acl)


def _unreadable(worker: mirroring.Worker, path: str) -> str:
    """Why status says that `path` is not mirrored, once it does."""

    def reasons() -> list[str]:
        report = worker.shard()
        found = report.unsyncable if report is not None else ()
        return [each.reason for each in found if each.path == path]

    return polling.until(reasons, what="the path in status")[0]


def _error(worker: mirroring.Worker, part: str) -> str:
    """The error of the shard once it has `part` in it; the phase says so, and the worker lives."""
    report = worker.wait(lambda report: part in (report.error or ""), what=f"an error: {part}")
    assert report.phase == "error"
    assert worker._thread.is_alive()
    return report.error or ""


def _followed_over_a_cut(world: mirroring.World, login: dict[str, Any]) -> mirroring.Worker:
    """It mirrors all of the protected tree, before and after its connection breaks."""
    with proxy.Proxy(world.zookeeper) as line:
        worker = world.worker(zookeeper={"hosts": [line.address], **login})
        worker.follows()
        assert len(world.equal()) == 3
        line.cut()
        world.zk.set(world.path("a", "b"), b"changed")
        world.equal()
        assert worker.follows().unsyncable == ()
    return worker


# --- digest --------------------------------------------------------------------------------------


def test_digest_reads_what_only_it_may_and_again_after_a_reconnect(
    world: mirroring.World, capfd: pytest.CaptureFixture[str]
) -> None:
    _protect(world)
    logger.set_level("debug")
    worker = _followed_over_a_cut(world, {"auth": [DIGEST]})
    said = capfd.readouterr()
    assert "shard owned" in said.err
    assert SECRET not in said.err + said.out
    assert SECRET not in repr(worker.reports)


def test_a_wrong_digest_deletes_nothing_and_names_what_it_may_not_read(
    world: mirroring.World,
) -> None:
    _protect(world)
    first = world.worker(zookeeper={"auth": [DIGEST]})
    first.follows()
    before = world.etcd.below(world.root)
    first.drain()
    wrong = {"scheme": "digest", "credentials": "mirror:mistyped"}
    second = world.worker(zookeeper={"auth": [wrong]})
    assert "denies" in _unreadable(second, world.root)
    second.wait(lambda report: "denies" in str(report.error), what="that it is denied")
    second.full_sync()
    assert world.etcd.below(world.root) == before
    assert "mistyped" not in repr(second.reports)


def test_a_scheme_that_the_server_does_not_know_is_an_error_of_the_shard(
    world: mirroring.World,
) -> None:
    unknown = {"scheme": "nonsense", "credentials": SECRET}
    worker = world.worker(zookeeper={"auth": [unknown], **QUICK})
    error = _error(worker, "refused the credentials")
    assert "zookeeper.auth" in error
    assert world.zookeeper in error
    assert SECRET not in repr(worker.reports)


# --- SASL ----------------------------------------------------------------------------------------


def test_sasl_reads_what_only_it_may_and_again_after_a_reconnect(
    world: mirroring.World, capfd: pytest.CaptureFixture[str]
) -> None:
    _protect(world, kazoo.security.make_acl("sasl", "mirror", read=True))
    logger.set_level("debug")
    worker = _followed_over_a_cut(world, {"sasl": SASL})
    said = capfd.readouterr()
    assert SECRET not in said.err + said.out + repr(worker.reports)


@pytest.mark.long
def test_a_wrong_sasl_password_is_an_error_of_the_shard_and_tried_again(
    world: mirroring.World,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    _protect(world, kazoo.security.make_acl("sasl", "mirror", read=True))
    worker = world.worker(zookeeper={"sasl": {**SASL, "password": "mistyped"}, **QUICK})
    error = _error(worker, "refused the credentials")
    assert "zookeeper.sasl" in error
    assert world.zookeeper in error
    worker.wait(lambda report: report.attempt > 2, 20, what="further attempts")
    assert not world.etcd.below(world.root)
    said = capfd.readouterr()
    assert "Traceback" not in said.err
    assert caplog.records == [], "kazoo warns of every attempt"
    assert "mistyped" not in said.err + said.out + repr(worker.reports)


def test_sasl_without_its_package_names_what_to_install(
    world: mirroring.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "KNOWS_SASL", False)
    worker = world.worker(zookeeper={"sasl": SASL})
    assert "zk2etcd[sasl]" in _error(worker, "pure-sasl")


def test_a_supervisor_goes_on_and_shows_no_secret(
    world: mirroring.World, secured: Secured, etcd: servers.Etcd, tmp_path: pathlib.Path
) -> None:
    content = supervisor.settings(secured.server, etcd, [world.root])
    content["zookeeper"] |= {"sasl": {**SASL, "password": f"not-{SECRET}"}, "auth": [DIGEST]}
    content |= {"log": {"level": "debug", "format": "json"}, "state": {"prefix": world.state}}
    running = supervisor.Supervisor(tmp_path / "run", content)
    running.start()
    try:
        polling.until(
            lambda: "refused the credentials" in (running.shards()[world.root]["error"] or ""),
            20,
            what="the error in status",
        )
        assert running.status()["state"] == "degraded"
        family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(True)]
        shown = [" ".join(each.cmdline()) for each in family]
        shown += [running.ask(path)[1] for path in ("/status", "/metrics", "/")]
    finally:
        running.stop()
    shown.append(running.log.read_text("utf-8"))
    assert "refused the credentials" in shown[-1]
    assert not [text for text in shown if SECRET in text]


# --- TLS -----------------------------------------------------------------------------------------


def test_tls_with_a_client_certificate(world: mirroring.World, secured: Secured) -> None:
    world.zk.create(world.root, b"1")
    worker = world.worker(zookeeper={"hosts": [secured.address], "tls": secured.settings()})
    worker.follows()
    large = bytes(range(256)) * 3000
    for number in range(30):
        world.zk.create(world.path(f"n{number}"), large[number:])
    world.equal()
    worker.full_sync()
    assert worker.counts.fixes == {"put": 0, "delete": 0}


def test_tls_that_trusts_another_authority(world: mirroring.World, secured: Secured) -> None:
    tls = secured.settings(ca=secured.other.ca)
    worker = world.worker(zookeeper={"hosts": [secured.address], "tls": tls, **QUICK})
    error = _error(worker, "certificate is not trusted")
    assert "zookeeper.tls.ca" in error
    assert secured.address in error


def test_check_says_the_same_of_a_host(secured: Secured) -> None:
    tls = secured.settings(ca=secured.other.ca)
    settings = connections.ZooKeeper.model_validate({"hosts": [secured.address], "tls": tls})
    (fact,) = probe_zookeeper.hosts(settings)
    assert fact.status == "FAIL"
    assert f"{secured.address} does not answer: its certificate is not trusted" in fact.text
    trusting = settings.model_copy(update={"tls": connections.ZkTls(**secured.settings())})
    (fact,) = probe_zookeeper.hosts(trusting)
    assert fact.status == "ok"


def test_tls_to_a_server_of_another_name(world: mirroring.World, secured: Secured) -> None:
    hosts = [f"localhost:{secured.tls}"]
    worker = world.worker(zookeeper={"hosts": hosts, "tls": secured.settings(), **QUICK})
    assert "zookeeper.hosts" in _error(worker, "certificate is not trusted")


def test_tls_unverified_asks_for_no_authority(world: mirroring.World, secured: Secured) -> None:
    world.zk.create(world.root, b"1")
    tls = secured.settings(ca=secured.other.ca, verify=False)
    worker = world.worker(zookeeper={"hosts": [f"localhost:{secured.tls}"], "tls": tls})
    worker.follows()
    world.equal()


@pytest.mark.parametrize("whose", ["nobody's", "another authority's"])
def test_tls_with_a_client_certificate_that_the_server_refuses(
    world: mirroring.World, secured: Secured, whose: str
) -> None:
    stranger = secured.other.issue("stranger")
    tls = secured.settings(cert=stranger.cert, key=stranger.key)
    if whose == "nobody's":
        tls = {"ca": secured.ours.ca}
    worker = world.worker(zookeeper={"hosts": [secured.address], "tls": tls, **QUICK})
    error = _error(worker, "TLS")
    assert "zookeeper.tls" in error


def test_tls_settings_for_a_plain_port(world: mirroring.World, secured: Secured) -> None:
    worker = world.worker(zookeeper={"tls": secured.settings(), **QUICK})
    assert "zookeeper.tls" in _error(worker, "TLS")


def test_a_missing_file_of_tls_is_named(world: mirroring.World, tmp_path: pathlib.Path) -> None:
    missing = str(tmp_path / "gone.pem")
    worker = world.worker(zookeeper={"tls": {"ca": missing}, **QUICK})
    _error(worker, missing)
