"""Hundreds of prefixes: what they ask of the servers is counted, and hardly any of it is a time."""

from __future__ import annotations

import os
import re
import signal
import time
import urllib.request

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from zk2etcd.sandbox import servers

MANY, MORE, PATIENCE = 200, 10, 150.0
QUIET_SECONDS = 6.0
_HANDLED = re.compile(
    r'grpc_server_handled_total\{grpc_code="OK",grpc_method="(?:Txn|Range)".* (\S+)'
)


def _asked(etcd: servers.Etcd) -> float:
    """Ranges and Txns that etcd has answered, whoever's they were."""
    with urllib.request.urlopen(f"{etcd.url}/metrics", timeout=10) as answer:
        return sum(map(float, _HANDLED.findall(answer.read().decode())))


def _tokens(sides: both_sides.Sides, prefix: str) -> dict[bytes, int]:
    return {key: kv.mod_revision for key, kv in sides.owners(f"zk2etcd{prefix}").items()}


def _bases(supervisor: installed.Supervisor) -> int:
    """How many have come to their end; the status of hundreds costs more than to look there."""
    return len(supervisor.events("base done"))


@pytest.mark.slow
@pytest.mark.long
def test_hundreds_start_together_rest_together_and_come_back(
    mirrors: conftest.Mirrors, prefix: str
) -> None:
    sides, names = mirrors.sides, [f"p{number:03d}" for number in range(MANY + MORE)]
    for name in names[MANY:]:
        sides.seed(f"{prefix}/{name}", 1)
    supervisor = mirrors.made(prefix, *names[:MANY], nodes=1)

    before = _asked(mirrors.etcd)
    supervisor.start()
    polling.until(lambda: _bases(supervisor) == MANY, PATIENCE, what="all bases")
    supervisor.wait_following(PATIENCE)
    # 54 a prefix once, at 100 of them, and more with each: 1, or a few where all is slow.
    assert _asked(mirrors.etcd) - before < 15 * MANY

    polling.until(lambda: supervisor.status()["state"] == "ready", 20)
    before, until = _asked(mirrors.etcd), time.monotonic() + QUIET_SECONDS
    polling.until(lambda: time.monotonic() > until, QUIET_SECONDS + 5)
    # Each would have asked every two seconds; what is left is two workers', and first counts.
    assert _asked(mirrors.etcd) - before < MANY
    lags = [shard["lag_seconds"] for shard in supervisor.status()["shards"]]
    assert all(lag is not None for lag in lags)

    sides.zk.set(f"{prefix}/{names[7]}/n0", b"changed")
    sides.wait_equal(f"{prefix}/{names[7]}")

    tokens = _tokens(sides, prefix)
    more = [f"{prefix}/{name}" for name in names]
    supervisor.configure(installed.laid_over(supervisor.content, sync={"prefixes": more}))
    supervisor.reload()
    polling.until(lambda: _bases(supervisor) == MANY + MORE, PATIENCE, what="ten more")
    assert {key: _tokens(sides, prefix)[key] for key in tokens} == tokens

    slot, pid = next(iter(supervisor.worker_pids().items()))
    mine = sum(shard["worker"] == slot for shard in supervisor.status()["shards"])
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: _bases(supervisor) == MANY + MORE + mine, PATIENCE, what="all back")
    supervisor.wait_following(PATIENCE)
    kept = [key for key, token in _tokens(sides, prefix).items() if tokens.get(key) == token]
    assert len(kept) > MANY // 3
    sides.wait_equal(*more[::20])
