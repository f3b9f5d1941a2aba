"""Servers that take nobody without a login: what is wanted is said, and it is tried slowly."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import pytest

from tests import polling, releases
from tests.acceptance import conftest, installed
from zk2etcd.sandbox import servers

PASSWORD = "sesame-and-more"
QUICK = {"session_timeout": "2s", "connect_timeout": "2s"}
JAAS = f"""Server {{
  org.apache.zookeeper.server.auth.DigestLoginModule required
  user_mirror="{PASSWORD}";
}};
"""
SASL = {"mechanism": "DIGEST-MD5", "username": "mirror", "password": PASSWORD}
DIGEST = {"auth": [{"scheme": "digest", "credentials": f"mirror:{PASSWORD}"}]}


@pytest.fixture
def demanding(sandbox: servers.Sandbox, tmp_path: pathlib.Path) -> Any:
    """Makes a server that demands these schemes; `old`: by the key of 3.6."""

    def make(schemes: str, *, old: bool = False, suite: str | None = None) -> servers.ZooKeeper:
        jaas = tmp_path / "jaas.conf"
        jaas.write_text(JAAS, "ascii")
        enforced = [
            "-Dzookeeper.enforce.auth.enabled=true",
            f"-Dzookeeper.enforce.auth.schemes={schemes}",
        ]
        server = sandbox.zookeeper(
            durable=False,
            class_path=releases.class_path(suite) if suite else None,
            jvm=(
                *servers.QUICK_JVM,
                f"-Djava.security.auth.login.config={jaas}",
                "-Dzookeeper.fips-mode=false",
                *(["-Dzookeeper.sessionRequireClientSASLAuth=true"] if old else enforced),
            ),
            settings=["authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider"],
        )
        server.start()
        return server

    return make


def _error(supervisor: installed.Supervisor, root: str, part: str) -> str:
    def said() -> str:
        error = str(supervisor.shards().get(root, {}).get("error") or "")
        return error if part in error else ""

    return polling.until(said, 15, what=f"an error: {part}")


@pytest.mark.parametrize(
    ("schemes", "old", "suite", "login"),
    [
        pytest.param("sasl", True, None, {}, marks=pytest.mark.long),
        ("sasl", False, releases.ZOOKEEPER_3_9, {}),
        pytest.param("digest", False, None, {}, marks=pytest.mark.long),
        ("sasl", False, None, {"sasl": {**SASL, "password": "mistyped"}}),
        pytest.param("sasl", False, None, {"protocol": "classic"}, marks=pytest.mark.long),
    ],
    ids=["sasl-3.6-key", "sasl-3.9", "digest", "wrong-password", "classic"],
)
def test_z14_a_login_that_is_wanted_is_said(
    demanding: Any,
    etcd: servers.Etcd,
    supervise: conftest.Supervise,
    schemes: str,
    *,
    old: bool,
    suite: str | None,
    login: dict[str, Any],
) -> None:
    """Z14: without the login that a server demands there is one line that names the keys."""
    root = "/z14"
    server = demanding(schemes, old=old, suite=suite)
    settings = installed.settings(server, etcd, [root], zookeeper={**QUICK, **login})
    supervisor = supervise(settings)
    supervisor.start()
    said = _error(supervisor, root, "zookeeper.sasl")
    assert "zookeeper.auth" in said
    assert server.address in said
    assert "session broke off" not in said
    for text in (said, supervisor.log.read_text("utf-8")):
        assert PASSWORD not in text
        assert "mistyped" not in text


@pytest.mark.slow
@pytest.mark.long
def test_z14_attempts_without_the_login_become_rare(
    demanding: Any, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z14: the delay to the next attempt grows, as status shows, and the server is left alone
    meanwhile; `check` says what is wanted, too. It goes on once the server wants no login."""
    root = "/z14-rare"
    server = demanding("sasl")
    supervisor = supervise(installed.settings(server, etcd, [root], zookeeper=QUICK))
    supervisor.start()
    _error(supervisor, root, "zookeeper.sasl")
    polling.until(lambda: supervisor.shards()[root]["attempt"] >= 3, 20, what="three attempts")
    assert supervisor.shards()[root]["retry_at"]
    tried, started = _attempts(server), time.monotonic()
    polling.until(lambda: time.monotonic() - started > 5, 6, what="five seconds")
    assert _attempts(server) - tried <= 3
    checked = installed.run("check", "-c", str(supervisor.config), timeout=60)
    assert checked.returncode == 1, checked.stdout
    assert "zookeeper.sasl" in checked.stdout
    assert "broke off" not in checked.stdout
    server.stop()
    server._jvm = servers.QUICK_JVM
    server.start()
    supervisor.wait_following(25)


def _attempts(server: servers.ZooKeeper) -> float:
    """How many sessions have ever been asked for."""
    lines = server.ask("mntr").decode().splitlines()
    told = dict(line.split("\t", 1) for line in lines if "\t" in line)
    return float(told["zk_connection_request_count"])


@pytest.mark.parametrize(
    ("schemes", "login"),
    [("sasl", {"sasl": SASL}), pytest.param("sasl,digest", DIGEST, marks=pytest.mark.long)],
    ids=["sasl", "digest"],
)
def test_z14_the_login_that_is_wanted_opens_it(
    demanding: Any,
    etcd: servers.Etcd,
    supervise: conftest.Supervise,
    schemes: str,
    login: dict[str, Any],
) -> None:
    """Z14: with it the same server is mirrored, and `check` has nothing against it."""
    root = f"/z14-right-{len(login)}-{len(schemes)}"
    server = demanding(schemes)
    settings = installed.settings(server, etcd, [root], zookeeper={**QUICK, **login})
    supervisor = supervise(settings)
    supervisor.start()
    supervisor.wait_following(20)
    checked = installed.run("check", "-c", str(supervisor.config), timeout=60)
    assert checked.returncode == 0, checked.stdout
