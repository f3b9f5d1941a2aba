"""Whatever answers at the address that a command asks: it says that this is not zk2etcd."""

from __future__ import annotations

import copy
import dataclasses
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.unit import views
from zk2etcd import conditions
from zk2etcd.cli import main
from zk2etcd.view import status

ODD: dict[str, Any] = {
    "nothing": b"",
    "a page": b"<html>hello</html>",
    "a list": b"[]",
    "null": b"null",
    "an object": b"{}",
    "another's health": b'{"status": "ok", "version": 3}',
    "another's error": b'{"message": "not found"}',
    "only a version": b'{"schema_version": 1}',
    "nested deeply": b'{"schema_version": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "nested, but not too deeply": b'{"schema_version": ' + b"[" * 950 + b"]" * 950 + b"}",
    "not UTF-8": b'{"schema_version": 1, "version": "\xff"}',
    "a huge number": b'{"schema_version": ' + b"9" * 10_000 + b"}",
    "a name twice": b'{"schema_version": 1, "schema_version": 2}',
    "accepted is a number": b'{"accepted": 7, "requested_at": 1}',
    "accepted are numbers": b'{"accepted": [1], "requested_at": 1}',
    "accepted, with escapes": b'{"accepted": ["\\u001b[2J"], "requested_at": 1}',
    "changed is null": b'{"changed": null}',
}
COMMANDS = (
    ["status"],
    ["status", "--json"],
    ["pause"],
    ["resume", "--yes"],
    ["full-sync", "--wait"],
    ["release", "--yes"],
    ["reload"],
    ["log", "--level", "info"],
)


class Answering:
    """Gives everybody the same answer; `code` is its status."""

    def __init__(self) -> None:
        self.body, self.code, self.drips, self.cut = b"", 200, False, False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.code)
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                if outer.drips:
                    self._drip()
                self.wfile.write(outer.body[: 20 if outer.cut else None])

            def _drip(self) -> None:
                for letter in outer.body:
                    self.wfile.write(bytes([letter]))
                    self.wfile.flush()
                    time.sleep(0.2)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    made = Answering()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.parametrize("code", [200, 404, 500])
@pytest.mark.parametrize("name", ODD)
def test_it_is_not_zk2etcd(
    answering: Answering, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    answering.body, answering.code, answering.drips = ODD[name], code, False
    for command in COMMANDS:
        assert main.run([*command, "--url", answering.url]) == 3, command
        said = capsys.readouterr().err
        assert "is not zk2etcd" in said or "is not a zk2etcd of our kind" in said, (command, said)


def test_an_answer_that_breaks_off_is_none(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.code, answering.drips, answering.cut = 200, False, True
    answering.body = json.dumps(WHOLE).encode()
    try:
        assert main.run(["status", "--url", answering.url]) == 3
    finally:
        answering.cut = False
    assert "no supervisor answers" in capsys.readouterr().err


def test_refusals_of_another_form_are_not_ours_either(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.drips = False
    for code, body in ((422, {"error": 5}), (422, {"error": "x", "faults": 3}), (409, ["error"])):
        answering.body, answering.code = json.dumps(body).encode(), code
        assert main.run(["reload", "--url", answering.url]) == 3
        assert "is not zk2etcd" in capsys.readouterr().err


def test_an_answer_that_drips_in_is_not_waited_for(
    answering: Answering, capsys: pytest.CaptureFixture[str]
) -> None:
    answering.body, answering.code, answering.drips = b" " * 200, 200, True
    began = time.monotonic()
    assert main.run(["status", "--url", answering.url]) == 3
    assert time.monotonic() - began < 20.0
    assert "timed out" in capsys.readouterr().err


# --- a document of ours, with one thing in it that is none ---------------------------------------

HELD: dict[str, Any] = {
    "guard": views.GUARD,
    "pause": conditions.Paused("anna", views.NOW - 5),
    "unsyncable": (conditions.Unsyncable("/a", "denied"),),
    "work": conditions.Work("full_sync", 5, 4, 3, 2.0, 9.0, "t"),
    "ensemble": conditions.Ensemble("/a", 1, views.NOW - 9, 3, 4),
    "last_full_sync": conditions.FullSyncResult(1, views.NOW - 9, 0.5, 2, 1, "t", missed=3),
    "started_over": conditions.StartedOver(views.NOW - 9, "why", "t"),
}
SHARDS = (views.shard("a-1", **HELD), views.shard("b-2", **views.FAILED))
WHOLE = status.document(
    dataclasses.replace(views.view(), shards=SHARDS, metrics_problem="it is full"), views.NOW
)
VALUES = st.sampled_from(
    [None, True, 0, -1, 2**62, 1e300, "", "x", "\ud800", "\x1b[2J", [], [None], {}, {"a": 1}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, each in inner:
        yield from places(each, (*path, key))


def changed(path: tuple[Any, ...], value: Any, *, gone: bool) -> Any:
    found = copy.deepcopy(WHOLE)
    if not path:
        return value
    at: Any = found
    for key in path[:-1]:
        at = at[key]
    if gone:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return found


def test_the_whole_document_is_ours(answering: Answering) -> None:
    answering.body, answering.code, answering.drips = json.dumps(WHOLE).encode(), 200, False
    assert main.run(["status", "--url", answering.url]) in (0, 1)


@hypothesis.settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    path=st.sampled_from(sorted(places(WHOLE), key=repr)), value=VALUES, gone=st.booleans()
)
@hypothesis.example(path=("shards", 0, "ensemble"), value=True, gone=False)
@hypothesis.example(
    path=("shards", 0, "ensemble"), value={"path": "/a", "zxid": "0x1", "at": "now"}, gone=False
)
def test_one_odd_thing_is_shown_or_refused_and_no_bug(
    answering: Answering, path: tuple[Any, ...], value: Any, gone: bool
) -> None:
    answering.body = json.dumps(changed(path, value, gone=gone)).encode()
    answering.code, answering.drips = 200, False
    for command in (["status"], ["release", "--yes", "b-2"], ["resume", "--yes", "b-2"]):
        assert main.run([*command, "--url", answering.url]) in (0, 1, 2, 3), (command, path, value)
