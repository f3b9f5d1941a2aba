"""Endpoints at which no member of use answers: a learner, or what is no etcd at all."""

from __future__ import annotations

import contextlib
import http.server
import json
import pathlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests import etcd_cluster, polling
from tests.acceptance import conftest as fixtures, installed
from zk2etcd.sandbox import servers


@pytest.fixture
def learner(sandbox: servers.Sandbox) -> tuple[etcd_cluster.Cluster, servers.Etcd]:
    """A cluster of one member, and its learner."""
    cluster = etcd_cluster.Cluster(sandbox, 1)
    return cluster, cluster.add_learner(sandbox)


def _failures(folder: pathlib.Path, content: installed.Settings) -> tuple[int, str]:
    """`zk2etcd check`: (exit code, the faults of etcd)."""
    config = folder / "check.yaml"
    config.write_text(json.dumps(content), "utf-8")
    done = installed.run("check", "--json", "-c", str(config), timeout=60)
    facts: list[dict[str, Any]] = json.loads(done.stdout)["facts"]
    failed = [fact for fact in facts if (fact["side"], fact["status"]) == ("etcd", "FAIL")]
    return done.returncode, "\n".join(f"{fact['text']} [{fact['remedy']}]" for fact in failed)


def test_a_learner_is_told_and_left(
    learner: tuple[etcd_cluster.Cluster, servers.Etcd],
    mirrors: fixtures.Mirrors,
    supervise: fixtures.Supervise,
    prefix: str,
    tmp_path: pathlib.Path,
) -> None:
    """E14: it answers Status, and refuses all that a mirror asks for: which is no lost write."""
    cluster, added = learner
    voter = cluster.members[0]
    mirrors.sides.seed(prefix, 20)
    urls = [added.url, voter.url]
    content = installed.settings(mirrors.zookeeper, voter, [prefix], etcd={"endpoints": urls})
    code, failed = _failures(tmp_path, content)
    assert code == 1
    assert f"etcd {added.url}: a learner: it serves nothing that we need" in failed
    assert voter.url not in failed
    supervisor = supervise(content)
    supervisor.start()
    supervisor.wait_following(20)
    assert etcd_cluster.etcdctl(voter.url, "get", "--print-value-only", f"{prefix}/n7") == "v7\n"
    assert "answer was lost" not in json.dumps(supervisor.events())


class _Web(http.server.BaseHTTPRequestHandler):
    """A proxy whose server is away."""

    def do_PRI(self) -> None:
        self.send_error(503)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def _web() -> Iterator[str]:
    """The URL of something that speaks HTTP/1 only."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Web) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_what_is_no_etcd_is_told_and_left(
    mirrors: fixtures.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """E14, of the kind: HTTP/1, and TLS where there is none, each beside a member that serves."""
    etcd = mirrors.etcd
    with _web() as web:
        wrong = {
            f"http://{web}": "what answers speaks no gRPC",
            f"https://{etcd.address}": "is it http:// in etcd.endpoints?",
        }
        supervisor = mirrors.made(prefix, etcd={"endpoints": [f"http://{web}", etcd.url]})
        every = installed.laid_over(supervisor.content, etcd={"endpoints": [*wrong, etcd.url]})
        code, failed = _failures(tmp_path, every)
        assert code in (1, 3)
        for url, words in wrong.items():
            assert re.search(f"etcd {url} .*{re.escape(words)}", failed), failed
        supervisor.start()
        supervisor.wait_following(20)
        mirrors.sides.wait_equal(prefix)


def test_a_lease_that_is_gone_is_replaced_at_once(
    fresh_etcd: servers.Etcd, mirrors: fixtures.Mirrors, prefix: str
) -> None:
    """E7, of the kind: somebody revoked it. It would be renewed in a minute only, and owner keys
    cannot be put with it before."""
    etcd = {"endpoints": [fresh_etcd.url]}
    supervisor = mirrors.following(prefix, etcd=etcd, state={"lease_ttl": "5m"})
    leases = etcd_cluster.etcdctl(fresh_etcd.url, "lease", "list").split()
    for lease in leases[leases.index("leases") + 1 :]:
        etcd_cluster.etcdctl(fresh_etcd.url, "lease", "revoke", lease)
    mirrors.sides.zk.set(f"{prefix}/n7", b"after")
    key = ("get", "--print-value-only", f"{prefix}/n7")
    polling.until(lambda: etcd_cluster.etcdctl(fresh_etcd.url, *key) == "after\n", 7)
    assert supervisor.events("lease gone: a new one is taken")
