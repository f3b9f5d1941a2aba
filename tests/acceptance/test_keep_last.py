"""The last key of a folder that is still there: what an operator sees of it, and how it goes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time

import pytest

from tests import polling
from tests.acceptance import both_sides, conftest, installed
from tests.integration import emptied

LIVE = {"delete_guard": {"live": {"keep_last": True}}}


def _kept(supervisor: installed.Supervisor, root: str) -> list[str]:
    kept = supervisor.shards()[root]["kept_last"]
    return kept["sample"] if kept else []


def _emptied(sides: both_sides.Sides, root: str, *services: str) -> None:
    """A folder with two instances a service, both of which go."""
    for service in services:
        for name in ("i", "j"):
            sides.zk.create(f"{root}/{service}/{name}", b"", makepath=True)
    polling.until(lambda: sides.equal(root), 20.0)
    for service in services:
        transaction = sides.zk.transaction()
        for name in ("i", "j"):
            transaction.delete(f"{root}/{service}/{name}")
        transaction.commit()


def test_it_is_told_outlives_workers_and_is_released_by_command(
    mirrors: conftest.Mirrors, sides: both_sides.Sides
) -> None:
    root = "/kept"
    supervisor = mirrors.following(root, sync=LIVE)
    shard, config = supervisor.shard_id(root), str(supervisor.config)
    _emptied(sides, root, "a", "b")
    polling.until(lambda: len(_kept(supervisor, root)) == 2, 20.0)
    one, two = sorted(_kept(supervisor, root))
    assert (one.rpartition("/")[0], two.rpartition("/")[0]) == (f"{root}/a", f"{root}/b")

    # It is as it should be: nobody need be woken up for it.
    shown = installed.run("status", "--url", supervisor.url)
    assert shown.returncode == 0, shown
    assert "2 keys stay, each as the last of its folder" in shown.stdout
    assert one in shown.stdout
    assert f"zk2etcd release {shard}" in shown.stdout
    assert supervisor.ask("/readyz")[0] == 200
    gauge = f'zk2etcd_shard_kept_last{{shard="{shard}"}} 2.0'
    polling.until(lambda: gauge in supervisor.ask("/metrics")[1])
    assert "keeps the last of a folder" in supervisor.ask("/")[1]
    compared = installed.run("diff", "-c", config, "--rounds", "1", "--round-interval", "100ms")
    assert compared.returncode == 1
    assert "kept_last (in etcd only, kept as the last key of a folder): 2" in compared.stdout

    pid = supervisor.worker_pids()[supervisor.slot_of(root)]
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: _is_back(supervisor, root, pid), 30.0)
    assert sorted(_kept(supervisor, root)) == [one, two]
    supervisor.stop()
    once = installed.run("run", "--once", "-c", config)
    assert once.returncode == 1, once
    assert "keeps 2 keys" in once.stdout + once.stderr
    supervisor.start()
    polling.until(lambda: len(_kept(supervisor, root)) == 2, 30.0)

    done = installed.run("release", shard, "--url", supervisor.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert "2 keys stay" in done.stdout
    assert "done, 2 deleted" in done.stdout
    assert sides.equal(root)
    assert supervisor.events("last keys released", deletes=2)
    again = installed.run("release", shard, "--url", supervisor.url, "--yes")
    assert again.returncode == 2
    assert "holds nothing" in again.stderr
    sides.zk.delete(root, recursive=True)


def _is_back(supervisor: installed.Supervisor, root: str, old: int) -> bool:
    pid = supervisor.worker_pids().get(supervisor.slot_of(root))
    return pid not in (None, old) and len(_kept(supervisor, root)) == 2 and supervisor.following()


def test_beside_a_trip_one_release_is_for_both(
    mirrors: conftest.Mirrors, sides: both_sides.Sides
) -> None:
    root = "/kept-and-held"
    limits = {"live": {"keep_last": True}, "min_deletes": 5}
    supervisor = mirrors.following(root, sync={"delete_guard": limits})
    shard = supervisor.shard_id(root)
    _emptied(sides, root, "a")
    polling.until(lambda: len(_kept(supervisor, root)) == 1, 20.0)
    supervisor.stop()
    for number in range(12):
        sides.zk.delete(f"{root}/n{number}")
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["guard"] and _kept(supervisor, root), 30.0)
    assert supervisor.shards()[root]["guard"]["deletes"] == 12
    kept = supervisor.shards()[root]["kept_last"]
    code, text = supervisor.ask(f"/shards/{shard}/release", {"trip": "another"})
    assert code == 409
    assert "12 deletes" in text
    done = installed.run("release", "--url", supervisor.url, "--yes", "--wait")
    assert done.returncode == 0, done
    assert sides.equal(root)
    code, text = supervisor.ask(f"/shards/{shard}/release", {"trip": kept["id"]})
    assert code == 409
    sides.zk.delete(root, recursive=True)


def test_it_is_released_by_post_and_by_a_repair(
    mirrors: conftest.Mirrors, sides: both_sides.Sides
) -> None:
    root = "/kept-by-post"
    supervisor = mirrors.following(root, sync=LIVE)
    shard, config = supervisor.shard_id(root), str(supervisor.config)
    _emptied(sides, root, "a")
    polling.until(lambda: len(_kept(supervisor, root)) == 1, 20.0)
    kept = supervisor.shards()[root]["kept_last"]
    code, text = supervisor.ask(f"/shards/{shard}/release", {"trip": kept["id"]})
    assert code == 202, text
    assert json.loads(text)["deletes"] == 1
    polling.until(lambda: sides.equal(root), 20.0)
    _emptied(sides, root, "b")
    polling.until(lambda: f"{root}/b/" in "".join(_kept(supervisor, root)), 20.0)
    quick = ("--rounds", "1", "--round-interval", "100ms")
    assert installed.run("diff", "--fix", "-c", config, *quick).returncode == 1
    assert len(_kept(supervisor, root)) == 1
    fixed = installed.run("diff", "--fix", "--allow-deletes", "--yes", "-c", config, *quick)
    assert fixed.returncode == 0, fixed
    assert sides.equal(root)
    # The same of a shard that nobody owns.
    _emptied(sides, root, "c")
    polling.until(lambda: f"{root}/c/" in "".join(_kept(supervisor, root)), 20.0)
    supervisor.stop()
    assert installed.run("diff", "--fix", "-c", config, *quick).returncode == 1
    fixed = installed.run("diff", "--fix", "--allow-deletes", "--yes", "-c", config, *quick)
    assert fixed.returncode == 0, fixed
    assert sides.equal(root)
    sides.zk.delete(root, recursive=True)


def test_where_ephemerals_are_left_out_it_is_refused(mirrors: conftest.Mirrors) -> None:
    supervisor = mirrors.made("/kept-refused", nodes=1, sync={"ephemeral": "skip"})
    wrong = ("--set", "sync.delete_guard.live={keep_last: true}")
    refused = installed.run("check", "--offline", "-c", str(supervisor.config), *wrong)
    assert refused.returncode == 2
    assert "which `ephemeral: skip` leaves out; remove one of them" in refused.stderr


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.parametrize("extra", [{}, {"ownership": "marks"}, {"ephemeral_grace": "300ms"}])
def test_no_folder_is_empty_however_often_workers_are_killed(
    mirrors: conftest.Mirrors, sides: both_sides.Sides, extra: dict[str, str]
) -> None:
    """Instances come and go in crowds, while workers are killed and full syncs are asked for."""
    draw, root = random.Random(7), f"/killed{len(str(extra))}"
    live = {"keep_last": True, "max_ratio": 1.0}
    guard = {"live": live, "max_ratio": 1.0, "min_deletes": 100_000, "max_deletes": 100_000}
    supervisor = mirrors.following(
        root, sync={"delete_guard": guard, **extra}, etcd={"txn_ops": 4}, workers={"count": 1}
    )
    folders = [f"{root}/{path}" for path in ("a", "b", "c", "c/deep", "c/deep/er")]
    for folder in folders:
        for number in range(6):
            sides.zk.create(f"{folder}/i{number}", b"", makepath=True)
    polling.until(lambda: sides.equal(root), 30.0)
    witness = emptied.Witness(sides.etcd, root)
    ends, kills = time.monotonic() + 25.0, 0
    while time.monotonic() < ends:
        _crowds(sides, draw, folders)
        what = draw.random()
        if what < 0.08:
            for pid in supervisor.worker_pids().values():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
        elif what < 0.15:
            supervisor.ask("/full-sync", {})
        else:
            time.sleep(draw.random() * 0.2)
    assert kills > 2
    polling.until(lambda: _is_settled(sides, folders), 60.0, what="as they should be")
    assert witness.emptied(*folders) == []
    sides.zk.delete(root, recursive=True)


def _crowds(sides: both_sides.Sides, draw: random.Random, folders: list[str]) -> None:
    """In one transaction, so that no order is told."""
    transaction = sides.zk.transaction()
    for folder in draw.sample(folders, 3):
        there = {name for name in sides.zk.get_children(folder) if name.startswith("i")}
        most = len(there)
        for name in draw.sample(sorted(there), draw.choice([most, most, most // 2])):
            transaction.delete(f"{folder}/{name}")
        for number in draw.sample(range(6, 12), draw.choice([0, 0, 1, 6])):
            if f"i{number}" not in there:
                transaction.create(f"{folder}/i{number}", b"%d" % draw.randrange(9))
    transaction.commit()


def _is_settled(sides: both_sides.Sides, folders: list[str]) -> bool:
    """Each has the keys of its nodes; or one, where it has none."""
    for folder in folders:
        wanted = set(sides.zk.get_children(folder))
        keys = {key.decode()[len(folder) + 1 :] for key in sides.etcd.values(folder)} - {""}
        found = {key.partition("/")[0] for key in keys}
        if found != wanted if wanted else len(found) != 1:
            return False
    return True
