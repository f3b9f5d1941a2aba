"""The level is live; libraries speak our form; what breaks is logged."""

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

from zk2etcd.config import models
from zk2etcd.logs import logger


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
