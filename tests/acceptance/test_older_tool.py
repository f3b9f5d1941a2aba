"""The older tool's command lines, as they stand in manifests, against real servers."""

from __future__ import annotations

import pathlib

import pytest

from tests import polling
from tests.acceptance import both_sides, installed
from zk2etcd.sandbox import servers


class Sync(installed.Supervisor):
    """`zk2etcd sync` with these flags instead of a file."""

    flags: tuple[str, ...] = ()

    def command(self) -> list[str]:
        return [installed.command(), "sync", *self.flags]


@pytest.fixture
def flags(
    zookeeper: servers.ZooKeeper, etcd: servers.Etcd, sides: both_sides.Sides, prefix: str
) -> tuple[str, ...]:
    """Of two prefixes, which have nodes."""
    for each in ("a", "b"):
        sides.seed(f"{prefix}/{each}", 20)
    return (
        f"--zookeeper-servers={zookeeper.address}",
        f"--etcd-servers={etcd.address}",
        f"--zookeeper-prefix={prefix}/a,{prefix}/b",
        f"--zookeeper-exclude-prefix={prefix}/a/config",
        "--fullsync-interval=5m0s",
        "--concurrent=50",
        "--leader-elect=true",
        "--log-level=info",
        "--set",
        f"state.prefix=zk2etcd{prefix}",
    )


def test_sync_mirrors(
    sandbox: servers.Sandbox,
    flags: tuple[str, ...],
    sides: both_sides.Sides,
    prefix: str,
    tmp_path: pathlib.Path,
) -> None:
    sides.zk.create(f"{prefix}/a/config", b"not to be mirrored")
    sync = sandbox.adopt(Sync(sandbox.subfolder("zk2etcd"), {}))
    sync.variables = {"TMPDIR": str(tmp_path)}
    sync.flags = (*flags, "--set", f"http.listen={sync.address}", "--set", "log.format=json")
    sync.start()
    sync.wait_following()
    sides.wait_equal(f"{prefix}/b")
    assert sides.etcd.value(f"{prefix}/a/n1") == b"v1"
    assert sides.etcd.value(f"{prefix}/a/config") is None
    sides.zk.set(f"{prefix}/b/n1", b"live")
    polling.until(lambda: sides.etcd.value(f"{prefix}/b/n1") == b"live", 5)
    said = sync.log.read_text("utf-8")
    assert said.count("--concurrent has no meaning here") == 1
    # The file that the flags became can be read again, and is gone in the end.
    assert pathlib.Path(sync.status()["config"]["path"]).is_file()
    asked = installed.run("log", "--level=warn", f"--zk2etcd-addr={sync.url}")
    assert asked.returncode == 0, asked.stderr
    assert installed.run("reload", "--url", sync.url).returncode == 0
    sync.stop()
    assert not list(tmp_path.glob("zk2etcd-*/zk2etcd.yaml"))


def test_diff_finds_and_fixes(flags: tuple[str, ...], sides: both_sides.Sides, prefix: str) -> None:
    quick = (*flags, "--max-round=2", "--round-interval=50ms")
    missing = installed.run("diff", *quick)
    assert missing.returncode == 1, missing.stderr
    assert f"{prefix}/b/n7" in missing.stdout
    assert sides.etcd.values(f"{prefix}/b") == {}
    fixed = installed.run("diff", *quick, "--fix=true")
    assert fixed.returncode == 0, fixed.stderr
    assert sides.equal(f"{prefix}/b")
    sides.etcd.put(f"{prefix}/b/stale", b"")
    sides.etcd.put(f"{prefix}/b/n1", b"tampered")
    assert installed.run("diff", *quick).returncode == 1
    assert installed.run("diff", *quick, "--fix").returncode == 0
    assert sides.equal(f"{prefix}/b")


def test_the_printed_file_mirrors_as_the_flags_do(
    flags: tuple[str, ...],
    sides: both_sides.Sides,
    prefix: str,
    tmp_path: pathlib.Path,
) -> None:
    printed = installed.run("sync", *flags, "--print-config")
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "config.yaml"
    path.write_text(printed.stdout, "utf-8")
    once = installed.run("run", "--once", "-c", str(path))
    assert once.returncode == 0, once.stderr
    assert sides.equal(f"{prefix}/a")
    assert sides.equal(f"{prefix}/b")
