"""One prefix in buckets, as an operator has it: spread over workers, one of them killed, and split
anew by reloads, under load all the time."""

from __future__ import annotations

import collections
import copy
import os
import signal
from typing import Any

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

EQUAL_SECONDS = 5.0


def _slots(supervisor: installed.Supervisor) -> dict[str, str]:
    return {shard["id"]: shard["worker"] for shard in supervisor.status()["shards"]}


def _split(supervisor: installed.Supervisor, buckets: int) -> None:
    """Reload with another number of buckets, and wait until all of them follow."""
    content: dict[str, Any] = copy.deepcopy(supervisor.content)
    content["sync"]["prefixes"][0]["buckets"] = buckets
    supervisor.configure(content)
    supervisor.reload()
    polling.until(
        lambda: len(supervisor.status()["shards"]) == buckets and supervisor.following(),
        20,
        what=f"{buckets} buckets that follow",
    )


def test_one_prefix_on_two_workers(
    zookeeper: servers.ZooKeeper,
    sides: both_sides.Sides,
    prefix: str,
    mirrors: conftest.Mirrors,
) -> None:
    whole = {"from": prefix, "to": prefix, "buckets": 4}
    # A slow machine may miss many deletes of the load between two splits.
    sync = {"prefixes": [whole], "delete_guard": {"min_deletes": 10_000}}
    supervisor, state = mirrors.following(prefix, nodes=200, sync=sync), f"zk2etcd{prefix}"
    sides.wait_equal(prefix)
    slots = _slots(supervisor)
    assert collections.Counter(slots.values()) == {"w0": 2, "w1": 2}
    shown = [(shard["bucket"], shard["buckets"]) for shard in supervisor.status()["shards"]]
    assert shown == [(number, 4) for number in range(4)]
    table = installed.run("status", "--url", supervisor.url, env={"COLUMNS": "160"}).stdout
    assert f"{prefix} 1/4" in table
    tokens = {key: kv.mod_revision for key, kv in sides.owners(state).items()}
    assert len(tokens) == 4

    with both_sides.Load(zookeeper.address, prefix, 200) as load:
        killed = supervisor.worker_pids()["w0"]
        os.kill(killed, signal.SIGKILL)
        polling.until(
            lambda: supervisor.worker_pids().get("w0", killed) != killed and supervisor.following(),
            20,
            what="another w0 that follows",
        )
        now = {key: kv.mod_revision for key, kv in sides.owners(state).items()}
        kept = {key.rpartition(b"/")[2].decode() for key in now if now[key] == tokens[key]}
        assert kept == {shard for shard, slot in slots.items() if slot == "w1"}

        for buckets in (1, 3, 1, 2):
            _split(supervisor, buckets)
            assert [shard["guard"] for shard in supervisor.status()["shards"]] == [None] * buckets
        load.end()
        assert load.changes > 100
    sides.wait_equal(prefix, timeout=EQUAL_SECONDS)
    assert len(sides.owners(state)) == 2
    assert supervisor.events("repaired") == []
