"""Servers that are away or refuse us: the supervisor stays up, says which, and starts by itself."""

from __future__ import annotations

import contextlib

import etcd3.etcdrpc as rpc
import grpc

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers


def test_it_waits_for_servers_and_starts_when_they_come(
    sandbox: servers.Sandbox, supervise: conftest.Supervise
) -> None:
    zookeeper, etcd = sandbox.zookeeper(durable=False), sandbox.etcd(durable=False)
    supervisor = supervise(
        installed.settings(
            zookeeper,
            etcd,
            ["/late"],
            zookeeper={"connect_timeout": "1s"},
            etcd={"request_timeout": "1s"},
        )
    )
    supervisor.start()
    polling.until(lambda: supervisor.status()["state"] == "degraded", what="degraded")
    assert supervisor.ask("/livez")[0] == 200
    _assert_says(supervisor, etcd.address)
    etcd.start()
    polling.until(
        lambda: zookeeper.address in (supervisor.shards()["/late"]["error"] or ""),
        what="it is ZooKeeper that is missed now",
    )
    _assert_says(supervisor, zookeeper.address)
    assert supervisor.ask("/readyz")[0] == 503
    pids = supervisor.worker_pids()
    zookeeper.start()
    with contextlib.closing(both_sides.Sides(zookeeper.address, etcd.address)) as sides:
        sides.seed("/late")
        polling.until(supervisor.following, what="it follows")
        sides.wait_equal("/late")
    polling.until(lambda: supervisor.ask("/readyz")[0] == 200, what="ready")
    assert installed.run("status", "--url", supervisor.url).returncode == 0
    assert supervisor.worker_pids() == pids, "no worker was restarted for it"
    _assert_outages_are_survived(supervisor, zookeeper, etcd)


def _assert_says(supervisor: installed.Supervisor, address: str) -> None:
    """`zk2etcd status` names the server that does not answer, and exits 1."""
    told = installed.run("status", "--url", supervisor.url)
    assert told.returncode == 1
    assert address in told.stdout, told.stdout
    assert "Traceback" not in told.stdout + told.stderr
    assert "DEGRADED" in told.stdout


def _assert_outages_are_survived(
    supervisor: installed.Supervisor, zookeeper: servers.ZooKeeper, etcd: servers.Etcd
) -> None:
    """Each server goes and comes back under the running mirror."""
    for server in (zookeeper, etcd):
        server.stop()
        polling.until(lambda: supervisor.shards()["/late"]["phase"] == "error", what="it notices")
        assert supervisor.ask("/livez")[0] == 200
        server.start()
        polling.until(supervisor.following, 20, what="it follows again")
    with contextlib.closing(both_sides.Sides(zookeeper.address, etcd.address)) as sides:
        sides.zk.set("/late/n1", b"after the outages")
        sides.wait_equal("/late")


def test_wrong_credentials_are_said_and_need_no_restart(
    zookeeper: servers.ZooKeeper,
    fresh_etcd: servers.Etcd,
    sides: both_sides.Sides,
    prefix: str,
    supervise: conftest.Supervise,
) -> None:
    sides.seed(prefix)
    _require_password(fresh_etcd, "right-secret")
    content = installed.settings(zookeeper, fresh_etcd, [prefix])
    content["etcd"].update({"username": "root", "password": "wrong-secret"})
    supervisor = supervise(content)
    supervisor.start()
    polling.until(lambda: supervisor.status()["state"] == "degraded", what="degraded")
    error = supervisor.shards()[prefix]["error"]
    assert "etcd" in error
    assert "password" in error or "credentials" in error or "authentication" in error
    password = supervisor.folder / "password"
    password.write_text("right-secret\n", "utf-8")
    content["etcd"].pop("password")
    content["etcd"]["password_file"] = str(password)
    supervisor.configure(content)
    supervisor.reload()
    polling.until(supervisor.following, what="it follows")
    shown = "".join(
        (
            supervisor.log.read_text("utf-8"),
            supervisor.ask("/status")[1],
            supervisor.ask("/metrics")[1],
        )
    )
    assert "wrong-secret" not in shown
    assert "right-secret" not in shown


def _require_password(etcd: servers.Etcd, password: str) -> None:
    """Turn on etcd's authentication, with this password for root."""
    with grpc.insecure_channel(etcd.address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        auth = rpc.AuthStub(channel)
        auth.UserAdd(rpc.AuthUserAddRequest(name="root", password=password), timeout=10)
        auth.RoleAdd(rpc.AuthRoleAddRequest(name="root"), timeout=10)
        auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user="root", role="root"), timeout=10)
        auth.AuthEnable(rpc.AuthEnableRequest(), timeout=10)
