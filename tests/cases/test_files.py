"""What stands where a file should: pipes, nothing, something of others, a full disk."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator

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


def _folder(tmp: pathlib.Path) -> pathlib.Path | None:
    """The folder for metrics that is there now, if there is one."""
    found = [each for each in tmp.glob("zk2etcd-metrics-*") if each.is_dir()]
    return found[0] if len(found) == 1 else None


def _puts(supervisor: installed.Supervisor) -> float:
    """How many puts /metrics counts."""
    status, text = supervisor.ask("/metrics")
    assert status == 200, text
    found = re.search(r'^zk2etcd_etcd_op_total\{op="put",status="success"\} (\S+)', text, re.M)
    return float(found[1]) if found else 0.0


def _removed(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)


def _a_file_instead(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("no folder")


def _a_link_instead(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)


def _open_to_all(folder: pathlib.Path) -> None:
    folder.chmod(0o777)


@pytest.mark.parametrize(
    "befalls",
    [
        _removed,
        _a_link_instead,
        *(pytest.param(each, marks=pytest.mark.long) for each in (_a_file_instead, _open_to_all)),
    ],
    ids=lambda f: f.__name__,
)
def test_workers_start_whatever_befalls_the_folder_for_metrics(
    mirrors: conftest.Mirrors,
    prefix: str,
    tmp_path: pathlib.Path,
    befalls: Callable[[pathlib.Path], None],
) -> None:
    """Z3: the metrics folder below TMPDIR removed by a system's cleaner; kill -9 of a worker, a
    reload with one more worker: no worker ever starts again, and a healthy shard goes with it."""
    supervisor = mirrors.made(prefix, "a", "b", nodes=5, workers={"count": 1})
    supervisor.variables = {"TMPDIR": str(tmp_path)}
    supervisor.start()
    supervisor.wait_following()
    folder = _folder(tmp_path)
    assert folder is not None
    befalls(folder)
    os.kill(supervisor.worker_pids()["w0"], signal.SIGKILL)
    polling.until(lambda: supervisor.worker_pids() and supervisor.following(), 20)
    supervisor.configure({**supervisor.content, "workers": {"count": 2}})
    supervisor.reload()
    polling.until(lambda: len(supervisor.worker_pids()) == 2 and supervisor.following(), 20)
    assert _puts(supervisor) >= 0
    said = [e for e in supervisor.events() if "folder for metrics was gone" in e["event"]]
    assert len(said) == (0 if befalls is _open_to_all else 1)
    made = pathlib.Path(said[0]["path"]) if said else folder
    assert stat.S_IMODE(made.lstat().st_mode) == 0o700
    assert not made.is_symlink()
    assert list((tmp_path / "elsewhere").glob("*")) == []


@pytest.mark.long
def test_a_worker_that_lives_puts_its_counters_back(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """Z3: what live workers have counted does not vanish from /metrics for ever."""
    supervisor = mirrors.made(prefix, nodes=50, workers={"count": 1})
    supervisor.variables = {"TMPDIR": str(tmp_path)}
    supervisor.start()
    supervisor.wait_following()
    before = _puts(supervisor)
    assert before >= 50
    folder = _folder(tmp_path)
    assert folder is not None
    shutil.rmtree(folder)
    mirrors.sides.zk.create(f"{prefix}/later", b"1")
    polling.until(lambda: _puts(supervisor) > before, 20, what="counts as before, and one more")
    assert set(supervisor.worker_pids()) == {"w0"}
    assert supervisor.worker("w0")["restarts"] == 0
    for file in folder.glob("*.db"):
        file.unlink()
    mirrors.sides.zk.create(f"{prefix}/still", b"1")
    polling.until(lambda: _puts(supervisor) > before + 1, 20, what="the same of single files")


def test_a_worker_that_started_without_a_folder_counts_once_there_is_one(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """Z3: TMPDIR itself removed, and made again later; it is said once each time."""
    place = tmp_path / "place"
    place.mkdir()
    supervisor = mirrors.made(prefix, nodes=5, workers={"count": 1})
    supervisor.variables = {"TMPDIR": str(place)}
    supervisor.start()
    supervisor.wait_following()
    shutil.rmtree(place)
    os.kill(supervisor.worker_pids()["w0"], signal.SIGKILL)
    polling.until(lambda: supervisor.worker_pids() and supervisor.following(), 20)
    mirrors.sides.zk.create(f"{prefix}/counted", b"1")
    mirrors.sides.wait_equal(prefix)
    ok = "zk2etcd_metrics_folder_ok"
    polling.until(lambda: f"{ok} 0.0" in supervisor.ask("/metrics")[1], 20)
    place.mkdir()
    polling.until(lambda: f"{ok} 1.0" in supervisor.ask("/metrics")[1], 20)
    mirrors.sides.zk.create(f"{prefix}/later", b"1")
    polling.until(lambda: _puts(supervisor) >= 2, 20, what="what was counted meanwhile, too")
    assert (
        len(supervisor.events("metrics cannot be kept in their folder: what is new is not shown"))
        == 1
    )


@contextlib.contextmanager
def _small_disk(folder: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
    """A file system of this size."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, timeout=10, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=10)


@pytest.mark.long
def test_a_full_folder_for_metrics_ends_no_worker(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """A7: TMPDIR full: workers end by SIGBUS in a loop; the folder is named nowhere."""
    with _small_disk(tmp_path / "small", "1m") as disk:
        supervisor = mirrors.made(prefix, "a", "b", nodes=5, workers={"count": 1})
        supervisor.variables = {"TMPDIR": str(disk)}
        supervisor.start()
        supervisor.wait_following()
        _fill(disk / "others")
        supervisor.configure({**supervisor.content, "workers": {"count": 2}})
        supervisor.reload()
        polling.until(lambda: len(supervisor.worker_pids()) == 2 and supervisor.following(), 30)
        assert [supervisor.worker(slot)["restarts"] for slot in ("w0", "w1")] == [0, 0]
        polling.until(lambda: "No space left" in _text(supervisor), 20)
        assert str(disk) in _text(supervisor)
        assert "zk2etcd_metrics_folder_ok 0.0" in supervisor.ask("/metrics")[1]
        before = _puts(supervisor)
        (disk / "others").unlink()
        mirrors.sides.zk.create(f"{prefix}/a/later", b"1")
        mirrors.sides.zk.create(f"{prefix}/b/later", b"1")
        polling.until(lambda: _puts(supervisor) > before, 20, what="counts of both again")
        polling.until(lambda: "No space left" not in _text(supervisor), 20)
        assert supervisor.stop_with(signal.SIGTERM)[0] == 0


def _fill(file: pathlib.Path) -> None:
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(4096))


def _text(supervisor: installed.Supervisor) -> str:
    return installed.run("status", "--url", supervisor.url).stdout


@pytest.mark.long
def test_a_folder_of_a_killed_supervisor_is_removed(
    mirrors: conftest.Mirrors, prefix: str, tmp_path: pathlib.Path
) -> None:
    """A9: metrics folders left behind after SIGKILL; never one of a supervisor that lives."""
    for name in ("zk2etcd-metrics-of-an-older-release", "zk2etcd-metrics-theirs"):
        (tmp_path / name).mkdir()
    (tmp_path / "zk2etcd-metrics-link").symlink_to(tmp_path / "zk2etcd-metrics-theirs")
    kept = set(tmp_path.iterdir())
    killed, lives = (mirrors.made(f"{prefix}/{name}", nodes=1) for name in ("a", "b"))
    for each in (killed, lives):
        each.variables = {"TMPDIR": str(tmp_path)}
        each.start()
    left = set(tmp_path.iterdir()) - kept
    assert len(left) == 2
    killed.kill()
    again = mirrors.supervise(killed.content)
    again.variables = {"TMPDIR": str(tmp_path)}
    again.start()
    now = set(tmp_path.iterdir())
    assert kept < now
    assert len(now - kept) == 2
    assert len(now & left) == 1
    assert lives.ask("/metrics")[0] == 200
