"""What a person asked for is done, or they are told that it was not, or may not have been."""

from __future__ import annotations

import os
import signal

import pytest

from tests import polling
from tests.acceptance import conftest, installed


def _held(mirrors: conftest.Mirrors, root: str) -> installed.Supervisor:
    """12 of its 21 keys are held by the guard."""
    limits = {"min_deletes": 5, "max_deletes": 10}
    supervisor = mirrors.following(root, sync={"delete_guard": limits}, workers={"count": 1})
    supervisor.stop()
    for number in range(12):
        mirrors.sides.zk.delete(f"{root}/n{number}")
    supervisor.start()
    polling.until(lambda: supervisor.shards()[root]["guard"], 20.0, what="a trip")
    return supervisor


@pytest.mark.long
def test_a_release_outlives_the_worker_that_was_told(mirrors: conftest.Mirrors) -> None:
    """O2: a release that a worker was sent and never read, since it died before: it was answered
    with 202, and lost."""
    root = "/order-release"
    supervisor = _held(mirrors, root)
    pid = supervisor.worker_pids()["w0"]
    os.kill(pid, signal.SIGSTOP)
    shard = supervisor.shards()[root]
    place = f"/shards/{shard['id']}/release"
    assert supervisor.ask(place, {"trip": shard["guard"]["id"]})[0] == 202
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: supervisor.shards()[root]["guard"] is None, 20.0, what="the release")
    polling.until(supervisor.following, 20.0)
    assert mirrors.sides.equal(root)
    assert supervisor.events("delete guard released", deletes=12)


@pytest.mark.long
def test_so_do_a_pause_and_a_resume(mirrors: conftest.Mirrors) -> None:
    """O2: the other orders in that window."""
    root = "/order-pause"
    supervisor = mirrors.following(root, workers={"count": 1})
    for path, reached in (("/pause", "paused"), ("/resume", "following")):
        pid = supervisor.worker_pids()["w0"]
        os.kill(pid, signal.SIGSTOP)
        assert supervisor.ask(path, {})[0] == 202
        os.kill(pid, signal.SIGKILL)
        polling.until(
            lambda phase=reached: supervisor.shards()[root]["phase"] == phase,  # type: ignore[misc]
            20.0,
            what=reached,
        )


def test_so_do_a_full_sync_and_a_log_level(mirrors: conftest.Mirrors) -> None:
    """O2: what is asked for by command returns when it is done, whichever worker does it."""
    root = "/order-sync"
    supervisor = mirrors.following(root, workers={"count": 1})
    pid = supervisor.worker_pids()["w0"]
    os.kill(pid, signal.SIGSTOP)
    asked_at = supervisor.status()["at"]
    assert supervisor.ask("/full-sync", {})[0] == 202
    assert supervisor.ask("/log", {"level": "debug"})[0] == 200
    os.kill(pid, signal.SIGKILL)
    polling.until(lambda: supervisor.worker_pids().get("w0", pid) != pid, 20.0)
    polling.until(supervisor.following, 20.0)
    assert supervisor.shards()[root]["last_full_sync"]["at"] > asked_at
    mirrors.sides.zk.set(f"{root}/n0", b"new")
    polling.until(lambda: supervisor.events(level="debug", process="w0"), 10.0, what="debug lines")


@pytest.mark.long
def test_an_order_that_is_not_answered_may_still_be_done(mirrors: conftest.Mirrors) -> None:
    """A9: a pause that timed out was carried out all the same, and nothing said that it might."""
    root = "/order-late"
    supervisor = mirrors.following(root, workers={"count": 1})
    supervisor.freeze()
    try:
        asked = installed.run("pause", "--url", supervisor.url)
    finally:
        supervisor.thaw()
    assert asked.returncode == 3
    assert "may still be done" in asked.stderr
    polling.until(lambda: supervisor.shards()[root]["phase"] == "paused", 10.0, what="the pause")


def test_one_that_reached_nobody_is_not(mirrors: conftest.Mirrors) -> None:
    """A9: nobody listens there, so nothing is done."""
    supervisor = mirrors.made("/order-nobody", nodes=1)
    asked = installed.run("pause", "--url", supervisor.url)
    assert asked.returncode == 3
    assert "may still be done" not in asked.stderr
