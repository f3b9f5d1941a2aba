"""Whether a server would take a session of ours, asked without one."""

from __future__ import annotations

from tests import proxy
from zk2etcd.config import connections
from zk2etcd.sandbox import server_process, servers
from zk2etcd_workers.zookeeper.servers import probing


def serves(host: str) -> bool:
    return probing.serves(host, connections.ZooKeeper(hosts=(host,)))


def test_a_server_that_runs_serves_and_nobody_else_does(zookeeper: servers.ZooKeeper) -> None:
    assert serves(zookeeper.address)
    assert not serves(f"127.0.0.1:{server_process.free_port()}")
    with proxy.Proxy(zookeeper.address) as between:
        assert serves(between.address)
        between.hold()
        assert not serves(between.address), "it takes connections, and says nothing"


def test_where_words_are_not_answered_a_session_is_asked_after(
    zookeeper: servers.ZooKeeper,
) -> None:
    """As of a server that has `srvr` forbidden."""
    answer = b"srvr is not executed because it is not in the whitelist.\n"
    assert probing.zxid(answer) is None
    assert probing._reaches(zookeeper.address, connections.ZooKeeper(), 0)
