"""A watch of etcd: what it tells, and how each way in which it can die is noticed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests import etcd_cluster, etcd_proxies, polling, proxy as proxies, releases
from tests.integration import etcd_clients
from zk2etcd import errors
from zk2etcd.sandbox import servers
from zk2etcd_workers.etcd import client as engine, wire
from zk2etcd_workers.etcd.streams import watching

A, END = b"own/a", b"own/b"
SILENCE = 2.0
"""Seconds in which a loaded machine gives a sign of life."""


@pytest.fixture(
    params=["", pytest.param(releases.ETCD_3_5_30, marks=pytest.mark.long)],
    ids=["installed", "newer"],
    scope="module",
)
def server(
    request: pytest.FixtureRequest, session_sandbox: servers.Sandbox
) -> Iterator[servers.Etcd]:
    binary = releases.etcd(request.param) if request.param else "etcd"
    made = session_sandbox.etcd(durable=False, binary=binary)
    made.start()
    yield made
    made.kill()


class Watched:
    """A watch, and the thread that looks after it."""

    def __init__(self, client: engine.Client, since: int, silence: float = 60.0) -> None:
        self.told = threading.Event()
        scope = watching.Scope([(A, END)], since, silence)
        self.watch = client.watch(scope, self.told.set)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tend, daemon=True)
        self._thread.start()

    def _tend(self) -> None:
        while not self._over.wait(0.05):
            self.watch.tend(time.monotonic())

    def changes(self, count: int = 1) -> list[watching.Change]:
        """As many as come, at least `count`."""
        found: list[watching.Change] = []

        def enough() -> bool:
            found.extend(self.watch.take())
            return len(found) >= count

        polling.until(enough, 5, what="changes")
        return found

    def end(self, seconds: float = 5.0) -> errors.EtcdError:
        """Why it is over."""
        polling.until(lambda: self.watch.end, seconds, what="the end of a watch")
        assert self.watch.end is not None
        return self.watch.end

    def close(self) -> None:
        self._over.set()
        self._thread.join(5)
        self.watch.close()


Watches = Callable[..., Watched]


@pytest.fixture
def watches() -> Iterator[Watches]:
    """Makes watches, closed at the end."""
    with contextlib.ExitStack() as closing:

        def made(client: engine.Client, since: int, silence: float = 60.0) -> Watched:
            one = Watched(client, since, silence)
            closing.callback(one.close)
            return one

        yield made


@pytest.fixture
def client(server: servers.Etcd) -> Iterator[engine.Client]:
    with contextlib.closing(etcd_clients.at([server.url])) as made:
        made.txn(wire.Txn([], [wire.Delete(A + b"/1"), wire.Delete(A + b"/2")]))
        yield made


def put(client: engine.Client, *pairs: tuple[bytes, bytes], lease: int = 0) -> int:
    """In one Txn; its revision."""
    return client.txn(wire.Txn([], [wire.Put(*pair, lease) for pair in pairs])).revision


def revision(client: engine.Client) -> int:
    return client.range(A).revision


# --- what it tells -------------------------------------------------------------------------------


def test_all_is_told_from_the_revision_on(client: engine.Client, watches: Watches) -> None:
    since = put(client, (A + b"/1", b"before"))
    lease, _ = client.grant(30)
    first = put(client, (A + b"/1", b"x"), (A + b"/2", b"y"), lease=lease)
    watched = watches(client, since)
    assert watched.changes(2) == [
        watching.Change(A + b"/1", b"x", first, lease),
        watching.Change(A + b"/2", b"y", first, lease),
    ]
    put(client, (b"own/beside", b"no"))
    gone = client.txn(wire.Txn([], [wire.Delete(A + b"/1")])).revision
    assert watched.changes() == [watching.Change(A + b"/1", None, gone)]
    assert watched.told.is_set()


def test_what_nobody_takes_costs_no_more_than_its_keys(
    client: engine.Client, watches: Watches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MOST_BYTES", 100_000)
    watched = watches(client, revision(client))
    for number in range(100):
        last = put(client, (A + b"/1", b"%d" % number + bytes(20_000)), (A + b"/2", b"%d" % number))
    put(client, (A + b"/3", b"end"))
    found: dict[bytes, watching.Change] = {}

    def ends() -> bool:
        found.update({change.key: change for change in watched.watch.take()})
        return A + b"/3" in found

    polling.until(ends, 5)
    assert found[A + b"/1"].revision == found[A + b"/2"].revision == last
    assert len(found) == 3
    for number in range(30):
        put(client, (A + b"/%d" % number, bytes(5_000)))
    assert "listened" in str(watched.end())


# --- its deaths ----------------------------------------------------------------------------------


def test_a_quiet_one_is_not_taken_for_dead(client: engine.Client, watches: Watches) -> None:
    """Though its first revision is still to come: 3.5.30 answers no progress request until then."""
    watched = watches(client, revision(client), SILENCE)
    until = time.monotonic() + 2 * SILENCE
    polling.until(lambda: time.monotonic() > until)
    assert watched.watch.end is None
    put(client, (A + b"/1", b"later"))
    assert watched.changes()[0].value == b"later"


def test_one_that_nobody_looked_after_is_asked_before_it_is_cut(
    client: engine.Client, watches: Watches
) -> None:
    """This process stood still for hours; what etcd said meanwhile is still to be heard."""
    watched = watches(client, revision(client))
    for _ in range(2):
        watched.watch.tend(time.monotonic() + 10_000.0)
    polling.until(lambda: watched.watch._waited is None, 10, what="an answer")
    put(client, (A + b"/1", b"later"))
    assert watched.changes()[0].value == b"later"


@pytest.mark.parametrize("breaks", ["cut", "mute", "frozen"])
def test_a_dead_one_is_noticed(
    breaks: str, server: servers.Etcd, client: engine.Client, watches: Watches
) -> None:
    """Cut, or silent on a connection that stands, while new ones may work."""
    since = revision(client)
    with (
        proxies.Proxy(server.address) as proxy,
        contextlib.closing(etcd_clients.at([f"http://{proxy.address}"])) as through,
    ):
        watched = watches(through, since, SILENCE)
        put(client, (A + b"/1", b"x"))
        watched.changes()
        if breaks == "frozen":
            server.freeze()
        else:
            getattr(proxy, breaks)()
        why = watched.end(15)
        server.thaw()
        assert isinstance(why, errors.EtcdUnavailable)
        assert ("no sign" in str(why)) == (breaks != "cut")
        # What the dead one did not tell is told by the next.
        last = put(client, (A + b"/1", b"missed"))
        polling.until(lambda: etcd_clients.reads(through), 10)
        again = watches(through, last - 1)
        assert again.changes()[0].value == b"missed"


def test_a_compacted_revision_is_said(
    server: servers.Etcd, client: engine.Client, watches: Watches
) -> None:
    old = put(client, (A + b"/1", b"1"))
    stands = watches(client, old)
    for number in range(3):
        last = put(client, (A + b"/1", b"%d" % number))
    stands.changes()
    etcd_cluster.etcdctl(server.url, "compact", str(last))
    assert isinstance(watches(client, old - 1).end(), errors.Compacted)
    put(client, (A + b"/1", b"on"))
    polling.until(lambda: any(change.value == b"on" for change in stands.watch.take()), 5)


def test_a_restart_ends_it(server: servers.Etcd, client: engine.Client, watches: Watches) -> None:
    watched = watches(client, revision(client))
    put(client, (A + b"/1", b"x"))
    watched.changes()
    server.restart()
    assert isinstance(watched.end(), errors.EtcdUnavailable)


@pytest.mark.long
def test_a_member_that_lost_the_others_ends_it(sandbox: servers.Sandbox, watches: Watches) -> None:
    """It answers all that is asked for a sign of life, and would tell nothing for ever. 10 s: it is
    three of its election time-outs before it says so."""
    cluster = etcd_cluster.Cluster(sandbox)
    with contextlib.closing(etcd_clients.at(cluster.urls[:1])) as client:
        watched = watches(client, revision(client))
        put(client, (A + b"/1", b"x"))
        watched.changes()
        for other in cluster.members[1:]:
            other.freeze()
        assert "no leader" in str(watched.end(15))


# --- who may watch -------------------------------------------------------------------------------


def test_it_outlives_the_token_that_it_began_with(
    sandbox: servers.Sandbox, watches: Watches
) -> None:
    etcd = sandbox.etcd(durable=False, arguments=["--auth-token-ttl", "1", "--bcrypt-cost", "4"])
    etcd.start()
    etcd_cluster.logins(etcd.url, "own", "/own")
    settings = {"endpoints": [etcd.url], "request_timeout": 2.0, **etcd_cluster.login()}
    with contextlib.closing(etcd_clients.of(settings)) as client:
        watched = watches(client, since := revision(client))
        until = time.monotonic() + 3.0  # thrice the token's life
        polling.until(lambda: time.monotonic() > until)
        put(client, (A + b"/1", b"x"))
        assert watched.changes()[0].value == b"x"
        # What is asked for a sign of life is refused, which is one.
        watched.watch.tend(time.monotonic() + 31.0)
        polling.until(lambda: watched.watch._waited is None, 5, what="an answer")
        put(client, (A + b"/1", b"y"))
        assert watched.changes()[0].value == b"y"
        # One that begins with such a token is refused, and the next begins with another.
        client._calls.login.token = "forgotten.1"
        assert isinstance(watches(client, since).end(), errors.EtcdDenied)
        after = watches(client, revision(client))
        put(client, (A + b"/1", b"z"))
        assert after.changes()[0].value == b"z"


def test_without_the_right_to_it_nothing_is_told(
    sandbox: servers.Sandbox, watches: Watches
) -> None:
    etcd = sandbox.etcd(durable=False, arguments=["--bcrypt-cost", "4"])
    etcd.start()
    etcd_cluster.logins(etcd.url, "elsewhere", "/own")
    settings = {"endpoints": [etcd.url], "request_timeout": 2.0, **etcd_cluster.login()}
    with contextlib.closing(etcd_clients.of(settings)) as client:
        refused = watches(client, 1).end()
        assert type(refused) is errors.EtcdDenied
        assert "etcd.username" in str(refused)


def test_through_a_grpc_proxy_it_tells_and_lives(
    server: servers.Etcd, sandbox: servers.Sandbox, client: engine.Client, watches: Watches
) -> None:
    """Which answers no progress request, and until 3.4.19 ended itself at one."""
    grpc_proxy = etcd_proxies.started(sandbox, server)
    with contextlib.closing(etcd_clients.at([grpc_proxy.url])) as through:
        watched = watches(through, revision(client), SILENCE)
        until = time.monotonic() + 2 * SILENCE
        polling.until(lambda: time.monotonic() > until)
        assert watched.watch.end is None
        put(client, (A + b"/1", b"x"))
        assert watched.changes()[0].value == b"x"
    assert grpc_proxy.alive
