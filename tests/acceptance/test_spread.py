"""Many prefixes over few workers: evenly spread, and re-spread by a reload with little moved."""

from __future__ import annotations

import collections
import json

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed

PREFIXES = 20


def _slots(supervisor: installed.Supervisor) -> dict[str, str]:
    return {source: shard["worker"] for source, shard in supervisor.shards().items()}


def _settled(supervisor: installed.Supervisor, slots: int) -> bool:
    """Every shard follows, and exactly so many worker processes are left."""
    workers = [worker for worker in supervisor.status()["workers"] if worker["pid"]]
    return supervisor.following() and len(workers) == slots


def _owned_as_shown(supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str) -> bool:
    """Whether the owner keys in etcd name the slots that the status shows."""
    shown = {shard["id"]: shard["worker"] for shard in supervisor.shards().values()}
    owners = sides.owners(f"zk2etcd{prefix}")
    found = {
        key.rpartition(b"/")[2].decode(): json.loads(owner.value)["slot"]
        for key, owner in owners.items()
    }
    return found == shown


def _recount(
    supervisor: installed.Supervisor, sides: both_sides.Sides, prefix: str, count: int
) -> None:
    supervisor.configure(installed.laid_over(supervisor.content, workers={"count": count}))
    supervisor.reload()
    polling.until(
        lambda: _settled(supervisor, count) and _owned_as_shown(supervisor, sides, prefix),
        20,
        what=f"{count} workers, each with its shards",
    )


@pytest.mark.long
def test_twenty_prefixes_are_spread_by_the_bound_and_respread_by_a_reload(
    sides: both_sides.Sides, prefix: str, mirrors: conftest.Mirrors
) -> None:
    names = [f"p{number}" for number in range(PREFIXES)]
    prefixes = [f"{prefix}/{name}" for name in names]
    supervisor = mirrors.following(prefix, *names, nodes=3)
    sides.wait_equal(*prefixes)
    two = _slots(supervisor)
    assert collections.Counter(two.values()) == {"w0": 10, "w1": 10}
    assert _owned_as_shown(supervisor, sides, prefix)
    pids = supervisor.worker_pids()
    tokens = {key: kv.mod_revision for key, kv in sides.owners(f"zk2etcd{prefix}").items()}

    _recount(supervisor, sides, prefix, 3)
    three = _slots(supervisor)
    assert max(collections.Counter(three.values()).values()) <= -(-PREFIXES // 3)
    stayed = [source for source in prefixes if three[source] == two[source]]
    assert len(stayed) == 2 * (-(-PREFIXES // 3)), "no more moved than the bound demands"
    now = {key: kv.mod_revision for key, kv in sides.owners(f"zk2etcd{prefix}").items()}
    for source in stayed:
        key = f"zk2etcd{prefix}/owners/{supervisor.shard_id(source)}".encode()
        assert now[key] == tokens[key], f"{source} was disturbed"
    assert supervisor.worker_pids().items() > pids.items(), "the old workers stay"

    _recount(supervisor, sides, prefix, 1)
    assert set(_slots(supervisor).values()) == {"w0"}
    for source in prefixes:
        sides.zk.set(f"{source}/n1", b"after both reloads")
    sides.wait_equal(*prefixes)
    assert supervisor.worker_pids()["w0"] == pids["w0"]
