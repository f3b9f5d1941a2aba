"""Nodes that look odd: names that only an old release takes, owners of a server with a high id."""

from __future__ import annotations

import json

import pytest

from tests import ensemble, polling, releases
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

ONLY_3_4 = ("\x1f", "a\x7f", "\x9fb", "c\uf8ffd", "\ufff0", "\uffff")
QUICK = {"session_timeout": "2s", "connect_timeout": "2s"}


def _kept(sides: both_sides.Sides, root: str, wanted: set[str]) -> bool:
    return {key.decode() for key in sides.etcd.values(root)} == wanted


@pytest.mark.slow
@pytest.mark.long
def test_z7_names_that_only_3_4_takes_come_and_go(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z7: names with U+001F, U+F8FF and others that 3.4 alone takes are mirrored; deleted while
    the mirror is down, their keys go; and `diff` knows them for what they are."""
    root = "/z7"
    server = sandbox.zookeeper(
        durable=False, class_path=releases.class_path(releases.ZOOKEEPER_3_4)
    )
    server.start()
    sides = both_sides.Sides(server.address, etcd.address)
    sides.seed(root, 40)
    for name in ONLY_3_4:
        sides.zk.create(f"{root}/{name}", b"odd")
        sides.zk.create(f"{root}/{name}/below", b"odd")
    supervisor = supervise(installed.settings(server, etcd, [root], zookeeper=QUICK))
    supervisor.start()
    supervisor.wait_following()
    sides.wait_equal(root)
    supervisor.stop()
    for name in ONLY_3_4[1:]:
        sides.zk.delete(f"{root}/{name}", recursive=True)
    told = installed.run("diff", "-c", str(supervisor.config), "--json")
    assert told.returncode == 1, told.stdout + told.stderr
    (shard,) = json.loads(told.stdout)["shards"]
    assert shard["extra"] == 2 * len(ONLY_3_4[1:])
    assert shard["foreign"] == 0
    supervisor.start()
    supervisor.wait_following()
    sides.wait_equal(root)
    sides.zk.delete(f"{root}/{ONLY_3_4[0]}", recursive=True)
    sides.wait_equal(root)
    sides.close()


def test_z8_ephemerals_of_a_server_with_myid_255_are_skipped(
    sandbox: servers.Sandbox, etcd: servers.Etcd, supervise: conftest.Supervise
) -> None:
    """Z8: `ephemeral: skip`, and a server whose sessions' ids begin with 0xff: its ephemerals are
    not mirrored, containers and plain nodes are."""
    root = "/z8"
    alone = ensemble.Ensemble(sandbox, 1, first=255)
    (odd,) = alone.members
    sides = both_sides.Sides(odd.address, etcd.address)
    assert sides.zk.client_id is not None
    assert sides.zk.client_id[0] & (0xFF << 56) == 0xFF << 56
    sides.seed(root, 3)
    sides.zk.create(f"{root}/before", b"e", ephemeral=True)
    settings = installed.settings(odd, etcd, [root], zookeeper=QUICK, sync={"ephemeral": "skip"})
    supervisor = supervise(settings)
    supervisor.start()
    supervisor.wait_following()
    sides.zk.create(f"{root}/live", b"e", ephemeral=True)
    sides.zk.create(f"{root}/last", b"plain")
    wanted = {root, f"{root}/last", *(f"{root}/n{number}" for number in range(3))}
    polling.until(lambda: f"{root}/last".encode() in sides.etcd.values(root), what="the last")
    assert _kept(sides, root, wanted), sides.etcd.values(root)
    supervisor.stop()
    sides.close()
    alone.close()
