"""A login with user and password: tokens that grow old, that etcd forgets, and rights."""

from __future__ import annotations

import contextlib
import queue
import time
from collections.abc import Iterator

import pytest

from tests import etcd_cluster, polling
from tests.integration import etcd_clients, mirroring
from zk2etcd import errors
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, login, wire

ROOT = "root:secret"


def _guarded(server: servers.Etcd) -> None:
    """Turn on logins: root, and `mirror`, who may write below /own and our own keys."""
    ask = etcd_cluster.etcdctl
    ask(server.url, "user", "add", ROOT)
    ask(server.url, "role", "add", "mirror")
    for prefix in ("/own", "zk2etcd/"):
        ask(
            *(server.url, "role", "grant-permission", "mirror"),
            *("readwrite", prefix, "--prefix=true"),
        )
    ask(server.url, "user", "add", "mirror:word")
    ask(server.url, "user", "grant-role", "mirror", "mirror")
    ask(server.url, "user", "grant-role", "root", "root")
    ask(server.url, "auth", "enable")


@pytest.fixture
def server(sandbox: servers.Sandbox) -> servers.Etcd:
    """Tokens live for two seconds, and are bcrypt's cheapest."""
    made = sandbox.etcd(durable=False, arguments=["--auth-token-ttl", "2", "--bcrypt-cost", "4"])
    made.start()
    _guarded(made)
    return made


def _settings(url: str, password: str = "word") -> dict[str, object]:
    return {
        "endpoints": [url],
        "request_timeout": 2.0,
        "username": "mirror",
        "password": password,
    }


@pytest.fixture
def client(server: servers.Etcd) -> Iterator[engine.Client]:
    with contextlib.closing(etcd_clients.of(_settings(server.url))) as made:
        yield made


def _put(value: bytes) -> wire.Txn:
    return wire.Txn([], [wire.Put(b"/own/a", value)])


def test_a_token_that_etcd_forgot_is_fetched_anew(
    server: servers.Etcd, client: engine.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    logins = []
    soon = login.Login.soon

    def counted(self: login.Login, then: login.Then) -> None:
        logins.append(then)
        soon(self, then)

    monkeypatch.setattr(login.Login, "soon", counted)
    client.txn(_put(b"1"))
    assert len(logins) == 1
    server.restart()
    polling.until(lambda: etcd_clients.reads(client, b"/own/a"), 10)
    server.restart()
    polling.until(lambda: etcd_clients.reads(client, b"/own/a"), 10)
    client._calls.login.token = "forgotten.1"
    assert list(client.range(b"/own/a").values) == [b"1"]
    client._calls.login.token = "forgotten.2"
    client.txn(_put(b"2"))
    client._calls.login.token = "forgotten.3"
    lease, _ = client.grant(5)
    before = len(logins)
    client._calls.login.token = "forgotten.4"
    answers: queue.SimpleQueue[tuple[wire.Answer | None, errors.EtcdError | None]]
    answers = queue.SimpleQueue()
    for _ in range(6):
        client.txn_soon(_put(b"3"), lambda answer, error: answers.put((answer, error)))
    for _ in range(6):
        answer, error = answers.get(timeout=5)
        assert error is None
        assert answer is not None
        assert answer.succeeded
    assert list(client.range(b"/own/a").values) == [b"3"]
    assert before < len(logins) <= before + 6
    assert client.keep_alive(lease, 2.0) > 0


def test_a_wrong_password_is_denied(server: servers.Etcd) -> None:
    with (
        contextlib.closing(etcd_clients.of(_settings(server.url, "wrong"))) as client,
        pytest.raises(errors.EtcdDenied, match=r"etcd\.password") as refused,
    ):
        client.range(b"/own/a")
    assert "wrong" not in str(refused.value)


def test_rights_are_checked_in_small_txns_and_not_in_nested_ones(
    server: servers.Etcd, client: engine.Client
) -> None:
    """etcd 3.4 and its gap, as docs/etcd.md tells it: if this fails, the page is out of date."""
    outside = wire.Put(b"/outside", b"1")
    with pytest.raises(errors.EtcdDenied):
        client.txn(wire.Txn([], [outside]))
    nested = client.txn(wire.Txn([], [wire.Txn([], [outside])]))
    assert nested.succeeded
    found = etcd_cluster.etcdctl(server.url, "get", "/outside", user=ROOT)
    assert found.split() == ["/outside", "1"]


def test_a_mirror_outlives_its_tokens_and_a_restart_of_etcd(
    server: servers.Etcd, client: engine.Client, zookeeper: servers.ZooKeeper
) -> None:
    with mirroring.World(zookeeper.address, server.address, "/own") as world:
        world.zk.create(world.root, b"0")
        worker = world.worker(etcd=_settings(server.url))
        worker.follows()

        def mirrored(value: bytes) -> None:
            world.zk.set(world.root, value)
            polling.until(lambda: _value(client, world.root) == value, 10)

        for number in range(3):
            mirrored(b"%d" % number)
        until = time.monotonic() + 5
        polling.until(lambda: time.monotonic() > until, 10)
        mirrored(b"after its token's time")
        etcd_cluster.etcdctl(server.url, "user", "add", "another:word", user=ROOT)
        mirrored(b"rights changed")
        server.restart()
        mirrored(b"restarted")
        worker.follows()


def _value(client: engine.Client, path: str) -> bytes | None:
    with contextlib.suppress(errors.EtcdUnavailable):
        return next(iter(client.range(path.encode()).values), None)
    return None
