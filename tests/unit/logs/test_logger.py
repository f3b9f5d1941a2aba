"""Lines are whole, short and safe; the level is live; libraries speak our form."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pydantic
import pytest
from hypothesis import given, strategies as st

from zk2etcd.config import models
from zk2etcd.logs import lines as log_lines, logger


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave this process's logging as it was."""
    root = logging.getLogger()
    handlers, level, hook = root.handlers[:], root.level, threading.excepthook
    setting = {**vars(logger._Setting)}
    yield
    root.handlers[:], threading.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    logger._set_file(None)
    for name in ("threshold", "process", "json", "coloured", "events"):
        setattr(logger._Setting, name, setting[name])


def setup(**log: Any) -> None:
    logger.setup("w0", models.Log(**{"format": "json", **log}))


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().err.splitlines()]


def test_a_line_has_the_fields(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    logger.get(shard="s1").bind(path="/a").info("written", keys=3)
    (line,) = lines(capfd)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info", "event": "written", "process": "w0", "shard": "s1", "path": "/a", "keys": 3
    }  # fmt: skip


def test_the_level_changes_for_loggers_that_were_bound_before(
    capfd: pytest.CaptureFixture[str],
) -> None:
    setup(level="warning")
    log = logger.get().bind(a=1)
    log.info("unheard")
    logger.set_level("debug")
    log.debug("heard")
    logger.set_level("error")
    log.warning("unheard")
    assert [line["event"] for line in lines(capfd)] == ["heard"]


def test_the_given_level_goes_over_the_configured_one(capfd: pytest.CaptureFixture[str]) -> None:
    logger.setup("supervisor", models.Log(format="json", level="error"), "debug")
    logger.get().debug("heard")
    assert len(lines(capfd)) == 1


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="loud"):
        logger.set_level("loud")


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


def test_an_exception_brings_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    try:
        raise KeyError("lost")
    except KeyError:
        logger.get().exception("failed")
    (line,) = lines(capfd)
    assert line["level"] == "error"
    assert "KeyError: 'lost'" in line["exception"]


def test_libraries_speak_from_warning_on(capfd: pytest.CaptureFixture[str]) -> None:
    setup(level="debug")
    logging.getLogger("kazoo.client").warning("dropped %s", "it")
    logging.getLogger("kazoo.client").info("chatter")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", UserWarning, stacklevel=1)
    first, second = lines(capfd)
    assert (first["event"], first["logger"]) == ("dropped it", "kazoo.client")
    assert "careful" in second["event"]


def test_the_level_is_theirs_too_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    library = logging.getLogger("kazoo.client")
    logger.set_level("error")
    library.warning("unheard")
    library.error("heard")
    logger.set_level("warning")
    library.warning("heard again")
    assert [line["event"] for line in lines(capfd)] == ["heard", "heard again"]


def test_what_repeats_is_said_once_and_counted(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    for _ in range(5):
        logging.getLogger("kazoo.client").warning("connection refused")
        logger.get(shard="s1").error("failed", error="e")
        logger.get(shard="s1").info("all of these are said")
    logger.get(shard="s2").error("failed", error="e")
    said = [(line["event"], line.get("shard"), line.get("repeated")) for line in lines(capfd)]
    assert [each for each in said if each[0] != "all of these are said"] == [
        ("connection refused", None, None), ("failed", "s1", None), ("failed", "s2", None)
    ]  # fmt: skip
    assert len(said) == 8
    logger.close()
    counted = {(line["event"], line["repeated"], line["process"]) for line in lines(capfd)}
    assert counted == {("connection refused", 4, "w0"), ("failed", 4, "w0")}


def test_a_thread_that_dies_is_logged(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    nothing: list[int] = []
    thread = threading.Thread(target=nothing.pop, name="reader")
    thread.start()
    thread.join()
    (line,) = lines(capfd)
    assert line["thread"] == "reader"
    assert "IndexError" in line["exception"]


def test_secrets_of_the_configuration_are_masked(capfd: pytest.CaptureFixture[str]) -> None:
    setup()
    http = models.Http(token=pydantic.SecretStr("s3cret"))
    logger.get().info("settings", token=http.token, http=http)
    assert "s3cret" not in capfd.readouterr().err


def test_a_closed_stderr_stops_nothing() -> None:
    code = (
        "import os; from zk2etcd.logs import logger;"
        "os.close(2); logger.get().info('x'); print('went on')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == "went on\n"


def test_logging_does_not_bring_rich_into_a_worker() -> None:
    code = (
        "import sys; from zk2etcd.logs import logger;assert 'rich' not in sys.modules; import rich"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.mark.parametrize("size", range(4030, 4070))
def test_many_lines_are_each_below_the_limit(size: int) -> None:
    rows: list[log_lines.Event] = [{"v": "y"}, {"v": "x" * size}, {"v": "y"}]
    head = {"event": "x"}
    alone = [log_lines.json_line({**head, **row}) for row in rows]
    assert log_lines.json_lines(head, rows) == b"".join(alone)
