"""TLS to etcd, with certificates on both sides that are wrong, missing, and replaced."""

from __future__ import annotations

import contextlib
import pathlib
import queue
from collections.abc import Iterator

import pytest

from tests import certificates, etcd_cluster, polling
from tests.integration import etcd_clients, mirroring
from zk2etcd import errors
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, wire


class Files:
    """What an operator has: authorities, the server's certificate, ours."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.authority = certificates.Authority(folder)
        self.stranger = certificates.Authority(folder, "stranger")
        self.server = self.authority.issue("server", "IP:127.0.0.1")
        self.client = self.authority.issue("client")

    def use(self, cert: certificates.Certificate) -> dict[str, str]:
        """Put this in place of what is used: the settings that name it."""
        used = {"cert": self.folder / "used.pem", "key": self.folder / "used.key"}
        etcd_cluster.write_pem(cert.cert, used["cert"])
        etcd_cluster.write_pem(cert.key, used["key"])
        return {name: str(path) for name, path in used.items()}

    def settings(self, url: str, **changes: str) -> dict[str, object]:
        tls = {"ca": self.authority.ca, "cert": self.client.cert, "key": self.client.key}
        return {"endpoints": [url], "request_timeout": 2.0, "tls": tls | changes}


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def server(files: Files, sandbox: servers.Sandbox) -> etcd_cluster.TlsEtcd:
    made = etcd_cluster.tls(sandbox, files.server, files.authority.ca, files.client)
    made.start()
    return made


@contextlib.contextmanager
def _client(settings: dict[str, object]) -> Iterator[engine.Client]:
    with contextlib.closing(etcd_clients.of(settings)) as client:
        yield client


def _refusal(settings: dict[str, object]) -> str:
    with _client(settings) as client, pytest.raises(errors.EtcdUnavailable) as refused:
        client.range(b"/a")
    return str(refused.value)


def test_both_sides_show_certificates(files: Files, server: etcd_cluster.TlsEtcd) -> None:
    with _client(files.settings(server.url)) as client:
        assert client.txn(wire.Txn([], [wire.Put(b"/a", b"1")])).succeeded
        assert list(client.range(b"/a").values) == [b"1"]


def test_what_is_wrong_is_said(files: Files, server: etcd_cluster.TlsEtcd) -> None:
    stranger = files.stranger.issue("client")
    assert "etcd.tls.ca" in _refusal(files.settings(server.url, ca=files.stranger.ca))
    unknown = files.settings(server.url, cert=stranger.cert, key=stranger.key)
    assert "etcd.tls.cert" in _refusal(unknown)
    missing = str(files.folder / "missing.pem")
    assert "missing.pem" in _refusal(files.settings(server.url, cert=missing))
    garbage = files.folder / "garbage.pem"
    garbage.write_text("no certificate", "ascii")
    for part in ("ca", "cert", "key"):
        assert "etcd.tls holds no" in _refusal(files.settings(server.url, **{part: str(garbage)}))


def test_a_certificate_for_another_name_is_refused(files: Files, sandbox: servers.Sandbox) -> None:
    other = files.authority.issue("other", "DNS:etcd.example")
    made = etcd_cluster.tls(sandbox, other, files.authority.ca, files.client)
    made.start()
    assert "another name" in _refusal(files.settings(made.url))


def test_a_wrong_authority_is_an_error_of_the_shard_until_it_is_put_right(
    files: Files,
    server: etcd_cluster.TlsEtcd,
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    prefix: str,
) -> None:
    """The file is replaced, and picked up at the next connection, without a reload."""
    ca = files.folder / "used.pem"
    etcd_cluster.write_pem(files.stranger.ca, ca)
    with mirroring.World(zookeeper.address, etcd.address, prefix) as world:
        world.zk.create(world.root, b"1")
        worker = world.worker(etcd=files.settings(server.url, ca=str(ca)))
        report = worker.wait(lambda report: report.phase == "error", what="an error")
        assert report.error is not None
        assert "etcd.tls.ca" in report.error
        assert "\n" not in report.error
        etcd_cluster.write_pem(files.authority.ca, ca)
        worker.follows()
        ca.unlink()
        world.zk.set(world.root, b"2")
        with _client(files.settings(server.url)) as client:
            polling.until(lambda: list(client.range(world.root.encode()).values) == [b"2"], 10)


def test_a_replaced_certificate_is_used_at_the_next_connection(
    files: Files, server: etcd_cluster.TlsEtcd
) -> None:
    """Ours is replaced while the connection stands, and the server then trusts the new one only."""
    renewed = files.stranger.issue("client")
    with _client(files.settings(server.url, **files.use(files.client))) as client:
        client.range(b"/a")
        files.use(renewed)
        client.range(b"/a")
        server.stop()
        server.files = (files.server.cert, files.server.key, files.stranger.ca)
        server.client = (files.authority.ca, renewed.cert, renewed.key)
        server.start()
        polling.until(lambda: etcd_clients.reads(client), 15)


def test_a_certificate_is_replaced_while_many_writes_fail(
    files: Files, server: etcd_cluster.TlsEtcd
) -> None:
    """The channel is thrown away in grpc's own thread, which must not wait for itself."""
    renewed = files.authority.issue("renewed")
    answers: queue.SimpleQueue[errors.EtcdError | None] = queue.SimpleQueue()
    settings = files.settings(server.url, **files.use(files.client)) | {"request_timeout": 0.5}
    with _client(settings) as client:
        client.range(b"/a")
        server.freeze()
        files.use(renewed)
        put = wire.Txn([], [wire.Put(b"/a", b"1")])
        for _ in range(8):
            client.txn_soon(put, lambda _, error: answers.put(error))
        for _ in range(8):
            assert isinstance(answers.get(timeout=5), errors.AmbiguousWrite)
        server.thaw()
        polling.until(lambda: etcd_clients.reads(client), 10)
