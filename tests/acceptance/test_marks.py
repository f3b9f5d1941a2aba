"""The walk from `range` to `marks`, and back, as an operator goes it: by commands and reloads."""

from __future__ import annotations

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed

pytestmark = pytest.mark.long

ROOT = "/marked"


def _reload(supervisor: installed.Supervisor, ownership: str) -> None:
    supervisor.configure(installed.laid_over(supervisor.content, sync={"ownership": ownership}))
    supervisor.reload()


def test_from_range_to_marks_and_back(mirrors: conftest.Mirrors, sides: both_sides.Sides) -> None:
    supervisor = mirrors.following(ROOT, nodes=30)
    config = str(supervisor.config)

    def phase() -> str:
        return str(supervisor.shards()[ROOT]["phase"])

    adopted = installed.run("adopt", "-c", config, "--yes")
    assert adopted.returncode == 0, adopted.stderr
    assert "31 of 31 keys marked" in adopted.stdout
    _reload(supervisor, "marks")
    polling.until(lambda: supervisor.status()["config"]["error"] is None and phase() == "following")
    sides.etcd.put(f"{ROOT}/theirs", b"x")
    sides.zk.create(f"{ROOT}/later", b"new")
    polling.until(lambda: sides.etcd.value(f"{ROOT}/later") == b"new")
    sides.zk.create(f"{ROOT}/theirs", b"ours")
    polling.until(lambda: supervisor.shards()[ROOT]["conflicts"] == 1)
    shard = supervisor.shards()[ROOT]
    assert shard["conflict_paths"] == [f"{ROOT}/theirs"]
    assert "not ours" in installed.run("status", "--url", supervisor.url).stdout
    assert f'zk2etcd_shard_conflicts{{shard="{shard["id"]}"}} 1.0' in supervisor.ask("/metrics")[1]
    page = supervisor.ask("/")[1]
    assert "others have 1" in page
    assert "leaves something to others" in page
    assert sides.etcd.value(f"{ROOT}/theirs") == b"x"
    sides.etcd.delete(f"{ROOT}/theirs")
    assert installed.run("full-sync", "--url", supervisor.url, "--wait").returncode == 0
    polling.until(lambda: sides.etcd.value(f"{ROOT}/theirs") == b"ours")
    # Back: not while there are marks.
    _reload(supervisor, "range")
    polling.until(lambda: "sync.ownership: marks" in str(supervisor.shards()[ROOT]["error"]), 20)
    base = f"zk2etcd{ROOT}/owned/{shard['id']}"
    sides.etcd.delete(base)
    sides.etcd.delete_below(base)
    polling.until(lambda: phase() == "following", 20)
    sides.zk.set(f"{ROOT}/later", b"newer")
    polling.until(lambda: sides.etcd.value(f"{ROOT}/later") == b"newer")


def test_two_prefixes_of_one_configuration_share_a_range(
    mirrors: conftest.Mirrors, sides: both_sides.Sides
) -> None:
    supervisor = mirrors.made("/sharing", "one", "other", nodes=10)
    prefixes = [{"from": f"/sharing/{name}", "to": "/shared-by-two"} for name in ("one", "other")]
    content = installed.laid_over(supervisor.content, sync={"prefixes": prefixes})
    supervisor.configure(content)
    refused = installed.run("check", "-c", str(supervisor.config), "--offline")
    assert refused.returncode == 2
    assert "overlaps" in refused.stderr
    supervisor.configure(installed.laid_over(content, sync={"ownership": "marks"}))
    supervisor.start()
    supervisor.wait_following()
    for name in ("one", "other"):
        sides.zk.create(f"/sharing/{name}/new-{name}", b"v")
    news = [f"/shared-by-two/new-{name}" for name in ("one", "other")]
    polling.until(lambda: [sides.etcd.value(each) for each in news] == [b"v", b"v"])
