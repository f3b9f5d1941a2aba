"""The supervisor's folder below TMPDIR: made anew, never another's, and swept only when dead."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from zk2etcd import scratch


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_stays_where_it_is() -> None:
    folder = scratch.Folder()
    path = folder.where()
    assert folder.ready() == path
    assert os.lstat(path).st_mode & 0o777 == 0o700


def test_gone_it_is_made_at_the_same_place() -> None:
    folder = scratch.Folder()
    path = pathlib.Path(folder.where())
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    assert folder.ready() == str(path)
    assert path.is_dir()
    assert folder.ready() == str(path)


def test_what_somebody_put_there_is_not_taken(place: pathlib.Path) -> None:
    folder = scratch.Folder()
    path = pathlib.Path(folder.where())
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    path.mkdir(0o700)  # another one, though it looks like ours
    fresh = pathlib.Path(folder.ready())
    assert fresh not in (path, place)
    assert fresh.parent == place
    assert list(path.iterdir()) == []


def test_without_any_place_it_says_so_and_goes_on(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = scratch.Folder()
    path = pathlib.Path(folder.where())
    path.rename(place / "moved")
    monkeypatch.setattr(tempfile, "tempdir", str(place / "none"))
    path.write_text("a file")
    assert folder.ready() == str(path), "one will be there again"
    assert folder.where() == ""
    problem = folder.problem
    assert problem == f"{place / 'none'}: No such file or directory"
    folder.tend(1e12)
    assert folder.problem == problem, "it would be said with each look"
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    folder.tend(2e12)
    assert folder.where() not in ("", str(path))
    assert folder.problem is None


def test_one_of_the_dead_is_swept_and_none_of_the_living(place: pathlib.Path) -> None:
    code = "from zk2etcd import scratch; import os, sys; print(scratch.Folder().where()); "
    code += "sys.stdout.flush(); sys.stdin.read(); os.kill(os.getpid(), 9)"
    command = [sys.executable, "-c", code]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    env = {**os.environ, "TMPDIR": str(place)}
    with subprocess.Popen(command, env=env, **pipes) as process:  # type: ignore[call-overload]
        path = pathlib.Path(process.stdout.readline().strip())
        scratch.Folder()
        assert path.is_dir()
        process.stdin.close()
        process.wait(10)
    assert path.is_dir()
    scratch.Folder()
    assert not path.exists()
