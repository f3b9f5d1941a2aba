"""One trace id ties together what a shard's lines say of one start or one full sync."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration import mirroring
from zk2etcd.logs import logger


def said(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    lines = capfd.readouterr().err.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_a_start_and_a_full_sync(world: mirroring.World, capfd: pytest.CaptureFixture[str]) -> None:
    logger.set_level("info")
    world.zk.create(world.root, b"")
    world.zk.create(world.path("a"), b"1")
    worker = world.worker()
    first = worker.follows().last_full_sync
    assert first is not None
    lines = {line["event"]: line for line in said(capfd)}
    assert {lines[event]["trace_id"] for event in ("shard owned", "base done")} == {first.trace_id}
    world.etcd.put(world.path("a"), b"tampered")
    second = worker.full_sync(trace_id="0123456789abcdef").last_full_sync
    assert second is not None
    assert second.trace_id == "0123456789abcdef" != first.trace_id
    lines = {line["event"]: line for line in said(capfd)}
    for event in ("repaired", "full sync done"):
        assert lines[event]["trace_id"] == second.trace_id, event


def test_a_change_from_its_read_to_its_line_in_the_event_log(
    world: mirroring.World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger._Setting, "events", True)
    logger.set_level("debug")
    world.zk.create(world.root, b"the-value")
    worker = world.worker()
    first = worker.follows().last_full_sync
    assert first is not None
    world.zk.create(world.path("a"), b"the-value")
    world.equal()
    world.zk.delete(world.path("a"))
    world.equal()
    world.etcd.put(world.root, b"tampered")
    worker.full_sync(trace_id="0123456789abcdef")
    lines = said(capfd)
    events = [line for line in lines if line["event"] == "mirrored"]
    found = [(line["phase"], line["op"], line["path"]) for line in events]
    assert found == [
        ("base", "put", world.root),
        ("follow", "put", world.path("a")),
        ("follow", "delete", world.path("a")),
        ("repair", "put", world.root),
    ]
    base, put, delete, repair = events
    assert base["trace_id"] == first.trace_id
    assert repair["trace_id"] == "0123456789abcdef"
    for one, number in ((put, 1), (delete, 2)):
        assert one["trace_id"] == f"{first.trace_id}-{number}"
        (read,) = [
            x for x in lines if x["event"] == "batch read" and x["trace_id"] == one["trace_id"]
        ]
        (txn,) = [x for x in lines if x["event"] == "Txn done" and x["trace_id"] == one["trace_id"]]
        assert read["paths"] == txn["keys"] == 1
        assert txn["revision"] == one["revision"]
    kept = world.etcd.get(world.root)
    assert kept is not None
    assert kept.mod_revision == repair["revision"]
    assert 0 <= put["lag"] < 10
    assert "the-value" not in json.dumps(lines)


def test_a_dry_run_mirrors_nothing_and_says_so(
    world: mirroring.World, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logger._Setting, "events", True)
    logger.set_level("info")
    world.zk.create(world.root, b"")
    world.worker(dry_run=True).follows()
    events = [line["event"] for line in said(capfd)]
    assert "would put" in events
    assert "mirrored" not in events


def test_an_error_and_the_start_that_mends_it(
    world: mirroring.World, capfd: pytest.CaptureFixture[str]
) -> None:
    logger.set_level("info")
    worker = world.worker(zookeeper={"hosts": ["127.0.0.1:1"], "connect_timeout": 0.1})
    report = worker.wait(lambda each: each.error is not None and each.attempt > 1)
    (line,) = [each for each in said(capfd) if each["event"] == "shard in error"]
    assert line["trace_id"] == report.error_trace_id
