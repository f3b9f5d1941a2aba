"""Real etcds are made to refuse, directly and through `etcd grpc-proxy`: each answer is told for
what it means. The table of all of them: tests/unit/workers/etcd/test_failures.py."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest

from tests import certificates, etcd_cluster, etcd_proxies, polling, releases
from tests.integration import etcd_clients
from zk2etcd import errors
from zk2etcd.config import connections
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, failures, http_version, wire

LIMITS = ("--max-txn-ops", "16", "--max-request-bytes", "50000")
SUITES = {
    "3.3": releases.ETCD_3_3,
    "3.4": "",
    "3.5.16": releases.ETCD_3_5_16,
    "3.5.30": releases.ETCD_3_5_30,
}


def _binary(release: str) -> str:
    suite = SUITES[release]
    return releases.etcd(suite) if suite else "etcd"


@pytest.fixture(
    params=[(each, way) for each in SUITES for way in ("member", "proxy")], ids="-".join
)
def client(
    request: pytest.FixtureRequest, sandbox: servers.Sandbox
) -> Iterator[tuple[engine.Client, servers.Etcd]]:
    """A client of one release's member, or of its proxy, and the member."""
    release, way = request.param
    binary = _binary(release)
    member = sandbox.etcd(durable=False, arguments=LIMITS, binary=binary)
    member.start()
    asked = member if way == "member" else etcd_proxies.started(sandbox, member, binary=binary)
    with contextlib.closing(etcd_clients.at([asked.url])) as made:
        yield made, member


def _puts(*ops: wire.Op) -> wire.Txn:
    return wire.Txn([], list(ops))


def _raised(ask: Callable[[], object]) -> type[Exception]:
    with pytest.raises(errors.EtcdError) as refused:
        ask()
    return type(refused.value)


def test_what_etcd_refuses_is_told_whatever_stands_before_it(
    client: tuple[engine.Client, servers.Etcd],
) -> None:
    ask, member = client
    put = wire.Put(b"/a", b"1")
    first = ask.txn(_puts(put)).revision
    last = ask.txn(_puts(put)).revision
    many = _puts(*(wire.Put(b"/m%d" % number, b"") for number in range(17)))
    assert _raised(lambda: ask.txn(many)) is errors.TooManyOperations
    assert _raised(lambda: ask.txn(_puts(wire.Put(b"/a", bytes(60_000))))) is errors.TooLarge
    assert _raised(lambda: ask.txn(_puts(wire.Put(b"/a", bytes(3_000_000))))) is errors.TooLarge
    assert _raised(lambda: ask.txn(_puts(put, put))) is errors.EtcdError
    assert _raised(lambda: ask.txn(_puts(wire.Put(b"/a", b"1", 77)))) is errors.LeaseGone
    assert ask.keep_alive(77, 10.0) <= 0
    etcd_cluster.etcdctl(member.url, "compact", str(last))
    assert _raised(lambda: ask.range(b"/a", revision=first)) is errors.Compacted
    assert _raised(lambda: ask.range(b"/a", revision=last + 99)) is errors.EtcdError
    assert list(ask.range(b"/a").values) == [b"1"]


@pytest.mark.parametrize("release", SUITES)
@pytest.mark.parametrize("way", ["member", "proxy"])
def test_what_logins_refuse_is_told_whatever_stands_before_them(
    sandbox: servers.Sandbox, release: str, way: str
) -> None:
    binary = _binary(release)
    quick = () if release == "3.3" else ("--bcrypt-cost", "4")
    member = sandbox.etcd(durable=False, arguments=quick, binary=binary)
    member.start()
    asked = member if way == "member" else etcd_proxies.started(sandbox, member, binary=binary)
    settings = {"endpoints": [asked.url], "request_timeout": 5.0, **etcd_cluster.login()}
    with contextlib.closing(etcd_clients.of(settings)) as user:
        assert user.txn(_puts(wire.Put(b"/own", b"1"))).succeeded, "no logins: none is needed"
        etcd_cluster.logins(member.url, "zk2etcd", "/own")
        assert user.txn(_puts(wire.Put(b"/own", b"2"))).succeeded, "asked to log in: does so"
        assert _raised(lambda: user.txn(_puts(wire.Put(b"/b", b"1")))) is errors.EtcdDenied
        etcd_cluster.etcdctl(member.url, "role", "add", "more", user=etcd_cluster.ROOT)
        assert user.txn(_puts(wire.Put(b"/own", b"3"))).succeeded, "an older revision of rights"
        member.restart()
        polling.until(lambda: etcd_clients.reads(user, b"/own"), 10)
    settings["password"] = "wrong"
    with contextlib.closing(etcd_clients.of(settings)) as wrong:
        assert _raised(lambda: wrong.range(b"/own")) is failures.WrongLogin
    with contextlib.closing(etcd_clients.at([asked.url])) as nobody:
        assert _raised(lambda: nobody.range(b"/own")) is failures.TokenExpired


def test_another_grpc_server_is_left(fresh_etcd: servers.Etcd) -> None:
    other = grpc.server(futures.ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    urls = [f"http://127.0.0.1:{port}", fresh_etcd.url]
    with contextlib.closing(etcd_clients.at(urls)) as client:
        with pytest.raises(errors.UnfitMember, match="no etcd v3"):
            client.txn(_puts(wire.Put(b"/a", b"1")))
        assert client.txn(_puts(wire.Put(b"/a", b"1"))).succeeded
    other.stop(None)


def test_a_version_is_told_over_http_with_the_tls_of_the_channel(
    sandbox: servers.Sandbox, tmp_path: pathlib.Path, fresh_etcd: servers.Etcd
) -> None:
    authority = certificates.Authority(tmp_path)
    shown = authority.issue("server", "IP:127.0.0.1")
    ours = authority.issue("client", "DNS:client")
    server = etcd_cluster.tls(sandbox, shown, authority.ca, ours)
    server.start()
    tls = {"ca": authority.ca, "cert": ours.cert, "key": ours.key}
    settings = connections.Etcd.model_validate({"endpoints": [server.url], "tls": tls})
    assert http_version.ask(server.url, settings).startswith("3.")
    assert http_version.ask(fresh_etcd.url, settings).startswith("3.")
    assert http_version.ask(etcd_cluster.unused(), settings) == ""
    untrusted = connections.Etcd.model_validate({"endpoints": [server.url]})
    assert http_version.ask(server.url, untrusted) == ""
