"""Logins of etcd that are odd: rights that `check` cannot have, tokens that are refused by whoever
gave them, logins that are switched off and on again."""

from __future__ import annotations

import json
import pathlib
import subprocess
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests import etcd_cluster, polling, proxy, releases
from tests.acceptance import both_sides, conftest as fixtures, installed
from zk2etcd.sandbox import servers

CHEAP = ("--bcrypt-cost", "4")
ROOT = etcd_cluster.ROOT


def _value(url: str, key: str) -> str:
    return str(etcd_cluster.etcdctl(url, "get", "--print-value-only", key, user=ROOT)).strip()


def _guarded(
    box: servers.Sandbox, prefix: str, *arguments: str, binary: str = "etcd"
) -> servers.Etcd:
    """A member with logins, and the documented rights for `prefix`."""
    member = box.etcd(durable=False, arguments=arguments, binary=binary)
    member.start()
    etcd_cluster.logins(member.url, f"zk2etcd{prefix}", prefix)
    return member


def _settings(
    zookeeper: servers.ZooKeeper, member: servers.Etcd, prefix: str, **etcd: Any
) -> installed.Settings:
    login = etcd_cluster.login()
    return installed.settings(zookeeper, member, [prefix], etcd={**login, **etcd})


def _checked(folder: pathlib.Path, content: Mapping[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """`zk2etcd check`: (exit code, facts)."""
    config = folder / "check.yaml"
    config.write_text(json.dumps(content), "utf-8")
    done = installed.run("check", "--json", "-c", str(config), timeout=60)
    return done.returncode, json.loads(done.stdout)["facts"]


# --- rights ---------------------------------------------------------------------------------------

OTHERS = {"3.3": releases.ETCD_3_3, "3.5.16": releases.ETCD_3_5_16}
RELEASES = [
    pytest.param(releases.ETCD_3_5_30, id="3.5.30"),
    pytest.param("", id="3.4"),
    *(pytest.param(suite, id=name, marks=pytest.mark.long) for name, suite in OTHERS.items()),
]


@pytest.mark.parametrize("suite", RELEASES)
def test_the_documented_rights_are_enough(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    supervise: fixtures.Supervise,
    prefix: str,
    tmp_path: pathlib.Path,
    suite: str,
) -> None:
    """E4: `check` has nothing to say, and a base with nested Txns and small changes is written.
    Maintenance/Status is root's in 3.4.42 and later, 3.5.28 to 3.5.31 and 3.6.0 to 3.6.11; rights
    of nested operations are looked at since 3.4.42, 3.5.28 and 3.6.9."""
    quick = () if suite == releases.ETCD_3_3 else CHEAP
    member = _guarded(sandbox, prefix, *quick, binary=releases.etcd(suite) if suite else "etcd")
    sides.seed(prefix, 300)
    content = _settings(zookeeper, member, prefix)
    code, facts = _checked(tmp_path, content)
    said = [fact for fact in facts if fact["side"] == "etcd" and fact["status"] == "FAIL"]
    old = [fact for fact in said if "upgrade to" in fact["remedy"]]
    assert not [fact for fact in said if fact not in old], said
    assert bool(old) == (suite == releases.ETCD_3_3)
    assert code == (1 if old else 0)
    assert old or any("may be read and written" in fact["text"] for fact in facts)
    supervisor = supervise(content)
    supervisor.start()
    supervisor.wait_following(30)
    sides.zk.set(f"{prefix}/n7", b"after")
    polling.until(lambda: _value(member.url, f"{prefix}/n7") == "after", 10)
    assert _value(member.url, f"{prefix}/n299") == "v299"


# --- tokens ---------------------------------------------------------------------------------------


def _jwt(folder: pathlib.Path, ttl: str) -> tuple[str, str]:
    """etcd's flag for tokens that are signed: those of "1ns" have ended already."""
    key = folder / "jwt.key"
    if not key.exists():
        subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, timeout=30)
        public = [
            "openssl",
            "rsa",
            "-in",
            str(key),
            "-pubout",
            "-out",
            str(key.with_suffix(".pub")),
        ]
        subprocess.run(public, check=True, timeout=30)
    keys = f"pub-key={key.with_suffix('.pub')},priv-key={key}"
    return "--auth-token", f"jwt,{keys},sign-method=RS256,ttl={ttl}"


@pytest.mark.alone
@pytest.mark.long
def test_a_member_that_refuses_its_own_tokens_is_left(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    supervise: fixtures.Supervise,
    prefix: str,
    tmp_path: pathlib.Path,
) -> None:
    """E8: the first endpoint answers each login, with a token that has ended already."""
    cluster = etcd_cluster.Cluster(sandbox, 2, arguments=CHEAP)
    etcd_cluster.logins(cluster.urls[0], f"zk2etcd{prefix}", prefix)
    for member, ttl in zip(cluster.members, ("1ns", "5m"), strict=True):
        member.kill()
        member.extra = _jwt(tmp_path, ttl)
    for member in cluster.members:
        member.launch()
    polling.until(lambda: not _refusal(cluster.urls[1], prefix), 20, what="the second member")
    ended = "invalid auth token"
    polling.until(lambda: ended in _refusal(cluster.urls[0], prefix), 20, what="the first member")
    sides.seed(prefix, 20)
    with proxy.Proxy(cluster.members[1].address) as second:
        # All are asked at once who they are: the first to answer is asked for a login.
        second.delay(0.3, "down")
        endpoints = [cluster.urls[0], f"http://{second.address}"]
        content = _settings(zookeeper, cluster.members[0], prefix, endpoints=endpoints)
        supervisor = supervise(content)
        supervisor.start()
        supervisor.wait_following(20)
        supervisor.stop()
    assert _value(cluster.urls[1], f"{prefix}/n1") == "v1"
    said = [line["error"] for line in supervisor.events("etcd member left")]
    assert said
    assert all(cluster.urls[0] in error and "token" in error for error in said)


def _refusal(url: str, prefix: str) -> str:
    """What it says instead of a value; empty where it gives one."""
    try:
        _value(url, prefix)
    except AssertionError as error:
        return str(error)
    return ""


# --- off and on again -----------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize(
    "suite",
    [
        pytest.param("", id="3.4"),
        pytest.param(releases.ETCD_3_5_30, id="3.5.30", marks=pytest.mark.long),
    ],
)
def test_logins_that_are_switched_off_and_on_stop_nothing(
    sandbox: servers.Sandbox,
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    supervise: fixtures.Supervise,
    prefix: str,
    suite: str,
) -> None:
    """E9: a mirror with a user goes on without a token, and logs in when it is asked to again.
    It is restarted meanwhile: else it asks for a new token only each 150 s."""
    member = _guarded(sandbox, prefix, *CHEAP, binary=releases.etcd(suite) if suite else "etcd")
    sides.seed(prefix, 20)
    supervisor = supervise(_settings(zookeeper, member, prefix))
    supervisor.start()
    supervisor.wait_following(20)

    def mirrored(value: str, *, login: str = "") -> None:
        sides.zk.set(f"{prefix}/n1", value.encode())
        polling.until(
            lambda: (
                etcd_cluster.etcdctl(
                    *(member.url, "get", "--print-value-only", f"{prefix}/n1"), user=login
                ).strip()
                == value
            ),
            20,
            what=f"{value} in etcd",
        )

    mirrored("with logins", login=ROOT)
    etcd_cluster.etcdctl(member.url, "auth", "disable", user=ROOT)
    mirrored("switched off")
    supervisor.restart()
    supervisor.wait_following(20)
    mirrored("started without logins")
    etcd_cluster.etcdctl(member.url, "auth", "enable")
    switched = time.monotonic()
    mirrored("switched on", login=ROOT)
    assert time.monotonic() - switched < 10
    etcd_cluster.etcdctl(member.url, "auth", "disable", user=ROOT)
    etcd_cluster.etcdctl(member.url, "auth", "enable")
    mirrored("off and on", login=ROOT)
    supervisor.wait_following(20)
