"""Each configuration among the examples is one that the product takes as it stands."""

from __future__ import annotations

import pathlib

import pytest

from tests.acceptance import installed
from tests.deployment import examples, manifests

SECRETS = dict.fromkeys(("ZK_PASSWORD", "ETCD_PASSWORD", "ADMIN_TOKEN", "ZK2ETCD_TOKEN"), "s3cret")
MACHINES = dict.fromkeys(("MACHINE", "HOSTNAME"), "mirror-1.example")
"""What a container's runtime, or systemd's unit, gives."""
FILES = [
    *sorted(examples.FOLDER.glob("*.yaml")),
    *sorted((examples.FOLDER / "compose").glob("*.yaml")),
    *sorted((examples.FOLDER / "systemd").glob("*.yaml")),
]
CONFIGS = [path for path in FILES if path.name != "docker-compose.yaml"]


def _checked(path: pathlib.Path, **more: str) -> None:
    run = installed.run("check", "--offline", "-c", str(path), env={**SECRETS, **MACHINES, **more})
    assert run.returncode == 0, run.stdout + run.stderr
    assert "FAIL" not in run.stdout


def test_they_are_found() -> None:
    names = [path.name for path in CONFIGS]
    assert {"minimal.yaml", "dubbo.yaml", "config.yaml"} <= set(names)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_file_is_taken(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """Certificates and secrets that it names lie in a folder of the test's."""
    text = path.read_text("utf-8").replace("/etc/zk2etcd/", f"{tmp_path}/")
    text = text.replace("/run/credentials/zk2etcd.service/", f"{tmp_path}/")
    (tmp_path / "admin-token").write_text("s3cret", "utf-8")
    (tmp_path / "etcd-ca.pem").write_text("a certificate", "utf-8")
    moved = tmp_path / "moved.yaml"
    moved.write_text(text, "utf-8")
    _checked(moved)


@pytest.mark.parametrize("kind", ["Deployment", "DaemonSet"])
def test_a_pod_finds_a_configuration_that_is_taken(kind: str, tmp_path: pathlib.Path) -> None:
    _checked(manifests.mounted(kind, tmp_path), **manifests.environment(kind))
