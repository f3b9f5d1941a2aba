"""What ZooKeeper itself lost is told from what the mirror got wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults import lost, oracle, txnlog, watcher
from tests.integration import observing
from zk2etcd.sandbox import servers


@pytest.mark.parametrize(
    ("held", "servers_of_it", "wrong"),
    [(b"old", 2, []), (b"old", 1, ["equal"]), (b"other", 2, ["equal"]), (None, 2, ["equal"])],
)
def test_only_what_all_servers_say_and_etcd_has_is_what_zookeeper_lost(
    zookeeper: servers.ZooKeeper,
    prefix: str,
    held: bytes | None,
    servers_of_it: int,
    wrong: Sequence[str],
) -> None:
    """Its logs have a newer value; it answers with the old one."""
    client = observing.connected(zookeeper.address)
    observing.seed(client, [(prefix, b"old")])
    key, notes = prefix.encode(), list[str]()
    history = {prefix: [txnlog.Entry(2, 2.0, b"old"), txnlog.Entry(3, 3.0, b"new")]}
    events = [watcher.Event(2, key, b"old", 1.0), watcher.Event(3, key, held, 2.0)]
    case = oracle.Case((oracle.Prefix(prefix, prefix),), "state", history, events)
    found = [each for each in oracle.equal(case) if each.key == prefix]
    assert [each.check for each in found] == ["equal"]
    left = lost.but_the_lost(case, found, [zookeeper.address] * servers_of_it, notes.append)
    assert [each.check for each in left] == wrong
    assert len(notes) == 1 - len(wrong)
    client.stop()
    client.close()
