"""What stands where a file should: pipes, nothing, something of others, a full disk."""

from __future__ import annotations

import os
import pathlib
import signal

import pytest

from tests import polling
from tests.acceptance import conftest, installed


def _pipe_instead(path: pathlib.Path) -> None:
    fresh = path.with_suffix(".pipe")
    os.mkfifo(fresh)
    fresh.replace(path)


@pytest.mark.parametrize("how", ["watched", "SIGHUP", "command"])
def test_a_pipe_in_the_place_of_the_configuration(
    mirrors: conftest.Mirrors, prefix: str, how: str
) -> None:
    """A6: a FIFO in the place of the config file, `reload.watch` or SIGHUP: the loop hangs, two
    SIGTERMs do nothing."""
    watch = {"watch": "200ms"} if how == "watched" else {}
    supervisor = mirrors.following(prefix, nodes=2, reload=watch)
    _pipe_instead(supervisor.config)
    if how == "SIGHUP":
        supervisor.reload()
    elif how == "command":
        installed.run("reload", "--url", supervisor.url)
    refused = installed.refused(supervisor)
    assert "not a regular file" in refused["config"]["error"]
    mirrors.sides.zk.create(f"{prefix}/later", b"1")
    mirrors.sides.wait_equal(prefix)
    code, seconds = supervisor.stop_with(signal.SIGTERM)
    assert (code, seconds < 15) == (0, True)


def test_a_pipe_in_the_place_of_a_secret(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """A6: the same of a file that a secret stands in."""
    token = tmp_path / "token"
    token.write_text("t0ken-t0ken\n")
    http = {"token_file": str(token)}
    supervisor = mirrors.following(prefix, nodes=2, reload={"watch": "200ms"}, http=http)
    _pipe_instead(token)
    supervisor.reload()
    assert "token_file" in installed.refused(supervisor)["config"]["error"]
    done = installed.run("full-sync", "-c", str(supervisor.config), timeout=20)
    assert done.returncode == 2
    assert supervisor.stop_with(signal.SIGTERM)[0] == 0


def test_a_file_that_is_too_large_is_said_once(mirrors: conftest.Mirrors, prefix: str) -> None:
    """A6: what is watched and is no configuration is refused like any other."""
    supervisor = mirrors.following(prefix, nodes=2, reload={"watch": "200ms"})
    supervisor.write("#" * (2 * 1024 * 1024))
    assert "is larger than" in installed.refused(supervisor)["config"]["error"]
    looks = len(supervisor.events("configuration file changed"))
    supervisor.configure({**supervisor.content, "workers": {"count": 1}})
    polling.until(lambda: supervisor.status()["config"]["error"] is None)
    assert (looks, len(supervisor.events("configuration file changed"))) == (1, 2)
