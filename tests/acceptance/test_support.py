"""`zk2etcd support` on a running mirror with a worker that is stopped, and after its end."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import tarfile

from tests.acceptance import both_sides, conftest, installed

TOKEN, DIGEST = "t0ken-of-the-test", "d1gest-of-the-test"


def unpacked(path: pathlib.Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        found = {}
        for entry in archive.getmembers():
            file = archive.extractfile(entry)
            assert file is not None
            found[pathlib.Path(entry.name).name] = file.read().decode()
        return found


def _supported(
    mirrors: conftest.Mirrors, root: str, tmp_path: pathlib.Path
) -> installed.Supervisor:
    """It follows, logs into a file, and knows two secrets."""
    (tmp_path / "token").write_text(TOKEN)
    return mirrors.following(
        root,
        nodes=3,
        http={"token_file": str(tmp_path / "token")},
        log={"file": {"path": str(tmp_path / "zk2etcd.log")}},
        zookeeper={"auth": [{"scheme": "digest", "credentials": f"u:{DIGEST}"}]},
    )


def test_one_archive_for_a_bug_report(
    sides: both_sides.Sides, mirrors: conftest.Mirrors, tmp_path: pathlib.Path
) -> None:
    root, path = "/supported", tmp_path / "report.tar.gz"
    supervisor = _supported(mirrors, root, tmp_path)
    ask = ("support", "-c", str(supervisor.config), "--url", supervisor.url, "--output", str(path))
    done = installed.run(*ask, "--check")
    assert (done.returncode, done.stderr) == (0, "")
    found = unpacked(path)
    assert json.loads(found["status.json"])["shards"][0]["from"] == root
    assert json.loads(found["check.json"])["facts"]
    assert "zk2etcd_shard_owned" in found["metrics.txt"]
    assert '"base done"' in found["log.txt"]
    assert found["readyz.txt"].endswith("ok\n")
    assert "token: null" in found["config.yaml"]
    assert "supervisor.py" in found["stacks.txt"]
    assert "in _follow" in found["stacks.txt"] or "follow.py" in found["stacks.txt"]
    assert not any(secret in text for secret in (TOKEN, DIGEST) for text in found.values())

    # A worker that does not answer, and a supervisor that does.
    pid = supervisor.worker_pids()[supervisor.slot_of(root)]
    os.kill(pid, signal.SIGSTOP)
    done = installed.run(*ask, "--force")
    os.kill(pid, signal.SIGCONT)
    assert done.returncode == 0
    assert f"(pid {pid})\nit did not answer" in unpacked(path)["stacks.txt"]

    supervisor.stop()
    done = installed.run(*ask, "--force")
    assert done.returncode == 1
    assert "missing status.json: no supervisor answers" in done.stderr
    assert {"config.yaml", "log.txt", "version.json"} <= set(unpacked(path))
    sides.zk.delete(root, recursive=True)
