"""As the manifests run it: on a root file system that is read-only, with nothing but a temporary
folder in memory to write to."""

from __future__ import annotations

import shutil
import signal
import subprocess

import pytest

from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers

_PREFIX = "/readonly"
_SEAL = """
set -e
mkdir -p "$2"
mount -o remount,bind,ro /
mount -t tmpfs -o size=256m tmpfs "$2"
if touch "$1" 2>/dev/null; then echo "not read-only" >&2; exit 9; fi
shift 2
exec "$@"
"""


def _sealed(probe: str, temporary: str, *command: str) -> list[str]:
    return ["unshare", "--mount", "sh", "-c", _SEAL, "seal", probe, temporary, *command]


def _permitted() -> bool:
    if shutil.which("unshare") is None:
        return False
    with servers.opened() as sandbox:
        folder = sandbox.folder
        command = _sealed(f"{folder}/probe", f"{folder}/tmp", "true")
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Sealed(installed.Supervisor):
    """May write to `folder`/tmp only, which is a tmpfs."""

    def command(self) -> list[str]:
        return _sealed(f"{self.folder}/probe", f"{self.folder}/tmp", *super().command())

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "TMPDIR": f"{self.folder}/tmp"}


def test_it_mirrors_and_stops_in_good_order(
    zookeeper: servers.ZooKeeper,
    etcd: servers.Etcd,
    sandbox: servers.Sandbox,
    sides: both_sides.Sides,
) -> None:
    if not _permitted():
        pytest.skip("this user may not make a mount namespace")
    sides.seed(_PREFIX)
    content = installed.settings(zookeeper, etcd, [_PREFIX])
    supervisor = sandbox.adopt(Sealed(sandbox.subfolder("zk2etcd"), content))
    supervisor.start()
    supervisor.wait_following()
    sides.wait_equal(_PREFIX)
    assert "zk2etcd_etcd_op_total" in supervisor.ask("/metrics")[1]
    code, _ = supervisor.stop_with(signal.SIGTERM)
    assert code == 0
    assert not (supervisor.folder / "probe").exists()
