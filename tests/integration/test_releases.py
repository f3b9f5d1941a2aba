"""The other releases that the tests run against are what they say they are."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests import releases
from zk2etcd.sandbox import servers


@pytest.mark.parametrize(
    ("suite", "version"), [(releases.ZOOKEEPER_3_4, "3.4.13"), (releases.ZOOKEEPER_3_9, "3.9.")]
)
def test_zookeeper(sandbox: servers.Sandbox, suite: str, version: str) -> None:
    server = sandbox.zookeeper(durable=False, class_path=releases.class_path(suite))
    server.start()
    assert server.ask("srvr").startswith(b"Zookeeper version: " + version.encode())


@pytest.mark.parametrize(
    ("suite", "version"),
    [
        (releases.ETCD_3_3, "3.3."),
        (releases.ETCD_3_5_16, "3.5.16"),
        (releases.ETCD_3_5_30, "3."),
    ],
)
def test_etcd(sandbox: servers.Sandbox, suite: str, version: str) -> None:
    server = sandbox.etcd(durable=False, binary=releases.etcd(suite))
    server.start()
    with urllib.request.urlopen(f"{server.url}/version", timeout=5) as answer:
        assert json.load(answer)["etcdserver"].startswith(version)


def test_a_release_that_cannot_be_had_skips_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    releases._fetched.cache_clear()
    try:
        with pytest.raises(pytest.skip.Exception, match="no such suite: sarge"):
            releases.class_path("sarge")
    finally:
        releases._fetched.cache_clear()
