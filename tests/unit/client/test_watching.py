"""`status --watch` in a pipe."""

from __future__ import annotations

import json

from tests.unit import views
from zk2etcd.client import watching


def fields(line: str) -> dict[str, str]:
    return dict(part.split("=", 1) for part in line.split(" ")[1:])


def test_a_line_for_each_change_and_now_and_then() -> None:
    said, found = watching.Lines(), views.document(views.running("a", 450, 1000), views.shard("b"))
    head, shard = said.seen(found, 0.0)
    assert head.startswith(found["at"] + " state=starting shards=2 following=1 full_sync=1 lag=1.0")
    assert fields(shard) == {
        "shard": "a",
        "phase": "full_sync",
        "kind": "base",
        "done": "450",
        "total": "1000",
        "written": "225",
        "rate": "100.0",
        "remaining_seconds": "5.5",
    }
    assert said.seen(views.document(views.running("a", 500, 1000), views.shard("b")), 9.0) == []
    assert (
        len(said.seen(views.document(views.running("a", 550, 1000), views.shard("b")), 10.0)) == 2
    )
    (over,) = said.seen(views.document(views.shard("a"), views.shard("b"), state="ready"), 11.0)
    assert fields(over)["state"] == "ready"


def test_lines_name_what_is_wrong() -> None:
    bad = views.shard("a", phase="error", error='no "etcd" \x1b[2J', attempt=2)
    _, problem = watching.Lines().seen(views.document(bad, state="degraded"), 0.0)
    assert 'problem=a what="no \\"etcd\\" \\\\x1b[2J" do="it is tried' in problem
    assert "\x1b" not in problem


def test_a_supervisor_that_is_away_is_said_so_once_and_again_when_it_is_back() -> None:
    said, found = watching.Lines(), views.document(views.shard("a"), state="ready")
    assert len(said.seen(found, 0.0)) == 1
    (line,) = said.away("no answer", 1.0)
    assert line.endswith('Z state=away error="no answer"')
    assert said.away("no answer, still", 2.0) == []
    assert len(said.away("no answer", 11.0)) == 1
    assert len(said.seen(found, 12.0)) == 1
    assert json.loads(line.rpartition("=")[2]) == "no answer"
