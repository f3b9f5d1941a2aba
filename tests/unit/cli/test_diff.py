"""`zk2etcd diff` without servers: how long an owner may take."""

from __future__ import annotations

import time
from typing import Any

import pytest

from zk2etcd import errors
from zk2etcd.cli import diff_fix


def status(done: int, error: str | None = None) -> dict[str, Any]:
    shard = {"id": "s-1", "phase": "full_sync", "progress": {"done": done, "total": 9}}
    other = {"id": "s-2", "phase": "full_sync", "progress": {"done": time.monotonic(), "total": 9}}
    rest = {"last_full_sync": None, "worker": "w0", "error": error}
    return {"shards": [{**other, **rest}, {**shard, **rest}]}


def test_an_owner_may_take_long_but_must_move(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    stall = diff_fix._Stall("s-1")
    for done in range(20):
        now += 59
        stall.look(status(done))
    now += 61
    with pytest.raises(errors.Zk2EtcdError, match="s-1 did not move for 60 s: its phase is full_s"):
        stall.look(status(19))
    with pytest.raises(errors.Zk2EtcdError, match="60 s: ZooKeeper is away"):
        stall.look(status(19, "ZooKeeper is away"))
