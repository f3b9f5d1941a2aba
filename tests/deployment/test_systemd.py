"""The systemd unit: systemd takes it, it is shut in, and it agrees with the product."""

from __future__ import annotations

import configparser
import pathlib
import re
import shutil
import subprocess

import pytest

from tests.acceptance import installed
from tests.deployment import examples
from zk2etcd.config import models

UNIT = examples.FOLDER / "systemd" / "zk2etcd.service"
CONFIG = UNIT.with_name("config.yaml")
_MOST_EXPOSED = 2.0

needed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)


def _service() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(UNIT.read_text("utf-8"))
    return dict(parser["Service"])


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60
    )


def _here(tmp_path: pathlib.Path, text: str) -> str:
    """The unit with the command that is installed here."""
    program = _service()["ExecStart"].split()[0]
    path = tmp_path / UNIT.name
    path.write_text(text.replace(program, installed.command()), "utf-8")
    return str(path)


@needed
def test_systemd_takes_it(tmp_path: pathlib.Path) -> None:
    run = _analyze("verify", "--man=no", _here(tmp_path, UNIT.read_text("utf-8")))
    assert run.returncode == 0, run.stderr
    assert not run.stderr


@needed
def test_a_key_that_systemd_does_not_know_would_be_told(tmp_path: pathlib.Path) -> None:
    text = UNIT.read_text("utf-8").replace("KillMode=", "KillModus=")
    assert "KillModus" in _analyze("verify", "--man=no", _here(tmp_path, text)).stderr


@needed
def test_it_is_shut_in() -> None:
    run = _analyze("security", "--offline=true", str(UNIT))
    found = re.search(r"exposure level for zk2etcd.service: ([0-9.]+)", run.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot judge a file: {run.stderr.strip()}")
    assert float(found[1]) < _MOST_EXPOSED


def test_it_stops_and_reloads_as_the_product_does() -> None:
    service = _service()
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"].split()[:2] == ["/bin/kill", "-HUP"]
    assert int(service["TimeoutStopSec"]) > models.Workers().stop_timeout


def test_it_is_started_again_however_it_ended() -> None:
    """systemd takes an end by SIGHUP, which may come before we listen, for a clean one."""
    service = _service()
    assert service["Restart"] == "always"
    assert int(service["LimitNOFILE"]) >= 65536


def test_machines_with_the_same_files_share_by_their_names() -> None:
    """What the unit gives is all that differs between them."""
    assert _service()["Environment"] == "MACHINE=%H"
    (content,) = examples.documents(CONFIG)
    assert content["cluster"] == {"mode": "share", "name": "${MACHINE}"}
    assert content["http"]["advertise"] == "${MACHINE}"
    assert content["http"]["allowed_hosts"] == ["${MACHINE}"]
    place = f"/run/credentials/{UNIT.name}/"
    name = content["http"]["token_file"].removeprefix(place)
    lines = UNIT.read_text("utf-8").splitlines()
    assert f"# LoadCredential={name}:/etc/zk2etcd/credentials/{name}" in lines


def test_a_faulty_configuration_is_not_tried_again(tmp_path: pathlib.Path) -> None:
    faulty = tmp_path / "config.yaml"
    faulty.write_text("sync: {prefixes: []}\n", "utf-8")
    arguments = _service()["ExecStart"].split()[1:]
    moved = [str(faulty) if word.endswith(".yaml") else word for word in arguments]
    code = installed.run(*moved).returncode
    assert str(code) in _service()["RestartPreventExitStatus"].split()
