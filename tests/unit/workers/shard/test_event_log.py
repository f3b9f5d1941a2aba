"""Lines of the event log: one valid JSON line for each change, whatever a node is called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings as hypothesis_settings, strategies as st

from zk2etcd.logs import lines as log_lines, logger
from zk2etcd_workers.model import plan
from zk2etcd_workers.shard import event_log

HOSTILE = [
    b"/new\nline",
    b"/\xff\xfe\x80",
    b"/" + b"long" * 5000,
    b"/" + "長".encode() * 5000,
    b'/"}\\',
    b"/\x1b[31m",
    b"/\xe2\x80\xae",
    b'/},{"timestamp":"',
]


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def write(lines: bytes, _reserve: float) -> None:
        assert lines.endswith(b"\n")
        for line in lines.splitlines(keepends=True):
            assert len(line) < log_lines.LINE_LIMIT
            assert line.count(b"\n") == 1
            found.append(json.loads(line))

    monkeypatch.setattr(logger._STDERR, "write", write)
    monkeypatch.setattr(logger._Setting, "json", True)
    return found


def log(*writes: plan.Write, now: float | None = 7500.0) -> None:
    common = {"shard": "s1", "phase": "follow", "revision": 42}
    logger.changes(common, event_log._rows(writes, "abc", now))


def test_a_line_has_the_fields(emitted: list[dict[str, Any]]) -> None:
    put = plan.Write(b"/m/a", b"secret", b"/a", 0x1F, 7000, None, 3)
    log(put, plan.Write(b"/b", None, b"/b", 0, 0, None, 4))
    first, second = emitted
    assert first.pop("timestamp").endswith("Z")
    first.pop("process")
    assert first == {
        "level": "info", "event": "mirrored", "shard": "s1", "op": "put", "path": "/a",
        "key": "/m/a", "zxid": "0x1f", "revision": 42, "lag": 0.5, "bytes": 6, "phase": "follow",
        "trace_id": "abc-3",
    }  # fmt: skip
    told = {key: second[key] for key in ("op", "path", "key", "zxid", "lag", "bytes", "trace_id")}
    assert told == {"op": "delete", "path": "/b", "key": "/b", "zxid": None, "lag": None,
                    "bytes": 0, "trace_id": "abc-4"}  # fmt: skip


def test_where_a_lag_means_nothing_it_is_null(emitted: list[dict[str, Any]]) -> None:
    log(plan.Write(b"/a", b"", b"/a", 1, 7000), now=None)
    assert (emitted[0]["lag"], emitted[0]["trace_id"]) == (None, "abc")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_line(emitted: list[dict[str, Any]], name: bytes) -> None:
    log(plan.Write(b"/to" + name, b"v", name, 1))
    (line,) = emitted
    assert line["path"].startswith("/")
    assert line["key"].startswith("/to/")
    assert (line["op"], line["revision"]) == ("put", 42)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=9000), st.binary(max_size=9000))
def test_any_name_is_one_line(emitted: list[dict[str, Any]], path: bytes, key: bytes) -> None:
    emitted.clear()
    log(plan.Write(key, None, path, 1))
    assert len(emitted) == 1


def test_many_lines_are_few_writes(capfd: pytest.CaptureFixture[str]) -> None:
    log(*(plan.Write(b"/%d" % n, b"", b"/%d" % n, n) for n in range(5000)))
    paths = [json.loads(line)["path"] for line in capfd.readouterr().err.splitlines()]
    assert paths == [f"/{number}" for number in range(5000)]
