"""Lines are whole, short and safe."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from zk2etcd.logs import lines as log_lines


@given(
    st.dictionaries(
        st.sampled_from(["a", "b", "path", "exception"]),
        st.one_of(
            st.text(st.characters(), max_size=6000),
            st.binary(max_size=3000),
            st.integers(),
            st.floats(),
            st.lists(st.text(max_size=20), max_size=900),
            st.none(),
        ),
    )
)
def test_every_line_is_one_json_line_below_the_pipes_limit(context: dict[str, Any]) -> None:
    event = {"timestamp": "2026-01-01T00:00:00.000Z", "level": "info", "event": "x", **context}
    line = log_lines.json_line(event)
    assert len(line) < 4096
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert json.loads(line)["event"] == "x"


@pytest.mark.parametrize(
    "value",
    [
        '},{"',
        [{"a": 1}, {"b": 2}],
        {1: 2},
        b"\xff",
        "x" * 9000,
        "x" * 4050,
        "x" * 4060,
        2**70,
        "\ud800",
        None,
    ],
)
def test_many_lines_are_as_each_alone(value: object) -> None:
    head = {"level": "info", "event": "x"}
    rows: list[log_lines.Event] = [{"n": 1}, {"v": value}, {"w": '},{"', "n": 3}]
    alone = [log_lines.json_line({**head, **row}) for row in rows]
    assert log_lines.json_lines(head, rows) == b"".join(alone)


def test_a_long_value_keeps_both_its_ends() -> None:
    line = log_lines.json_line({"event": "x", "path": "/begin/" + "y" * 9000 + "/end", "keys": 7})
    found = json.loads(line)
    assert found["path"].startswith("/begin/")
    assert found["path"].endswith("/end")
    assert found["keys"] == 7


def test_too_many_values_leave_the_essential_ones() -> None:
    event = {"level": "info", "event": "x", **{f"k{n}": "y" * 100 for n in range(300)}}
    assert json.loads(log_lines.json_line(event)) == {
        "level": "info",
        "event": "x",
        "truncated": True,
    }


def test_the_console_shows_what_a_terminal_would_obey() -> None:
    event = {"timestamp": "2026-01-01T12:34:56.789Z", "level": "error", "event": "bad\x1b[31m",
             "process": "w0", "path": "/a\nb", "exception": "Traceback\n  \x1b[0m"}  # fmt: skip
    shown = log_lines.console_line(event, coloured=False).decode()
    assert shown.startswith("12:34:56.789 error   w0")
    assert "\x1b" not in shown
    assert "/a\\nb" in shown
    assert shown.count("\n") == 3


@pytest.mark.parametrize("size", range(4030, 4070))
def test_many_lines_are_each_below_the_limit(size: int) -> None:
    rows: list[log_lines.Event] = [{"v": "y"}, {"v": "x" * size}, {"v": "y"}]
    head = {"event": "x"}
    alone = [log_lines.json_line({**head, **row}) for row in rows]
    assert log_lines.json_lines(head, rows) == b"".join(alone)


_OBEYED = (
    "\x7f",
    "\x85",
    "\x9b31m",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\ufeff",
    "\U000e0041",
)


@pytest.mark.parametrize("char", _OBEYED)
def test_json_holds_nothing_that_a_terminal_obeys(char: str) -> None:
    """A9: bidirectional and C1 characters raw in JSON log lines."""
    event = {"timestamp": "t", "level": "info", "event": f"e{char}", "path": f"/\u4e2d\u6587{char}"}
    rows = [{"path": f"/{char}x"}, {"path": "/\u00e9"}, {"path": "/plain"}]
    whole = log_lines.json_line(dict(event))
    many = log_lines.json_lines(dict(event), rows)
    for line in (whole + many).splitlines():
        assert line.decode().isprintable(), line
    assert json.loads(whole) == event
    assert [json.loads(line)["path"] for line in many.splitlines()] == [row["path"] for row in rows]
    assert "\u4e2d\u6587".encode() in whole  # what a person can read stays as it is


def test_escapes_do_not_make_a_line_too_long() -> None:
    event = {"timestamp": "t", "level": "info", "event": "e", "path": "\u202e" * 4000}
    line = log_lines.json_line(dict(event))
    assert len(line) < log_lines.LINE_LIMIT
    assert json.loads(line)["event"] == "e"
