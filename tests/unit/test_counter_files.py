"""Counters' files that cannot be had, grown, or kept: counting goes on, and nothing is lost that
need not be."""

from __future__ import annotations

import errno
import os
import pathlib
from collections.abc import Callable, Iterator

import pytest
from prometheus_client import mmap_dict, values

from zk2etcd import counter_files, metrics


def key(name: str) -> str:
    return f'["{name}", "{name}_total", {{}}, "help"]'


def counted(path: pathlib.Path) -> dict[str, float]:
    return dict(metrics.entries(path))


Made = Callable[[pathlib.Path], counter_files.CounterFile]


@pytest.fixture
def made() -> Iterator[Made]:
    """Makes a file, which is closed with the test."""
    files = []

    def make(path: pathlib.Path) -> counter_files.CounterFile:
        files.append(counter_files.CounterFile(str(path)))
        return files[-1]

    yield make
    for file in files:
        file.close()  # type: ignore[no-untyped-call]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the disk is full: [False] at first."""
    state = [False]
    allocate = os.posix_fallocate

    def tried(descriptor: int, offset: int, length: int) -> None:
        if state[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        allocate(descriptor, offset, length)

    monkeypatch.setattr(os, "posix_fallocate", tried)
    return state


def test_it_is_read_by_what_it_stands_in_for(tmp_path: pathlib.Path, made: Made) -> None:
    path = tmp_path / "counter_w0.db"
    file = made(path)
    for number in range(3000):  # it grows several times
        file.write_value(key(f"n{number}"), float(number), 0.0)
    assert len(counted(path)) == 3000
    assert counted(path)[key("n2999")] == 2999
    assert path.stat().st_blocks * 512 >= path.stat().st_size  # no page is missing
    theirs = mmap_dict.MmapedDict(str(path))  # type: ignore[no-untyped-call]
    assert theirs.read_value(key("n7")) == (7.0, 0.0)  # type: ignore[no-untyped-call]
    theirs.close()  # type: ignore[no-untyped-call]
    again = made(path)
    assert again.read_value(key("n2999")) == (2999.0, 0.0)
    assert not again.is_lost()


def test_the_class_is_still_where_it_is_put_in_place() -> None:
    assert issubclass(values.MmapedDict, mmap_dict.MmapedDict)  # type: ignore[attr-defined]
    for name in ("_init_value", "read_value", "write_value", "close"):
        assert callable(getattr(mmap_dict.MmapedDict, name))


def test_a_full_disk_at_the_start(tmp_path: pathlib.Path, full: list[bool], made: Made) -> None:
    path = tmp_path / "counter_w0.db"
    full[0] = True
    file = made(path)
    assert file.read_value(key("a")) == (0.0, 0.0)
    file.write_value(key("a"), 5.0, 0.0)
    assert "No space left" in str(file.problem)
    full[0] = False
    assert file.is_lost()
    file.asked = True
    file.write_value(key("a"), 6.0, 0.0)
    assert (file.problem, file.is_lost()) == (None, False)
    assert counted(path) == {key("a"): 6.0}


def test_a_disk_that_fills_up_later(tmp_path: pathlib.Path, full: list[bool], made: Made) -> None:
    path = tmp_path / "counter_w0.db"
    file = made(path)
    file.write_value(key("first"), 1.0, 0.0)
    full[0] = True
    for number in range(3000):
        file.write_value(key(f"n{number}"), 1.0, 0.0)
    file.write_value(key("first"), 2.0, 0.0)  # what has a place is written
    some = counted(path)
    assert some[key("first")] == 2
    assert 1 < len(some) < 3001
    assert file.read_value(key("n2999")) == (1.0, 0.0)
    file.asked = True
    file.write_value(key("n2999"), 2.0, 0.0)
    assert file.problem
    full[0] = False
    file.asked = True
    file.write_value(key("n2999"), 3.0, 0.0)
    assert len(counted(path)) == 3001
    assert counted(path)[key("n2999")] == 3


@pytest.mark.parametrize("how", ["file", "folder", "another"])
def test_one_that_was_taken_is_put_back_whole(tmp_path: pathlib.Path, how: str, made: Made) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir(0o700)
    path = folder / "counter_w0.db"
    file = made(path)
    for number in range(2000):
        file.write_value(key(f"n{number}"), float(number), 0.0)
    path.unlink()
    if how == "folder":
        folder.rmdir()
    if how == "another":
        made(path).write_value(key("n1"), 0.5, 0.0)
    assert file.is_lost()
    file.asked = True
    file.write_value(key("n1"), 7.0, 0.0)
    if how == "folder":
        assert "its folder is gone" in str(file.problem)
        folder.mkdir(0o700)
        file.asked = True
        file.write_value(key("n1"), 7.0, 0.0)
    assert (file.problem, file.is_lost()) == (None, False)
    assert len(counted(path)) == 2000
    assert counted(path)[key("n1")] == 7
    file.write_value(key("n2"), 9.0, 0.0)
    assert counted(path)[key("n2")] == 9


def test_a_damaged_one_is_begun_anew(tmp_path: pathlib.Path, made: Made) -> None:
    path = tmp_path / "counter_w0.db"
    path.write_bytes(b"\xff\xff\xff\x7f" * 32768)
    file = made(path)
    file.write_value(key("a"), 1.0, 0.0)
    assert counted(path) == {key("a"): 1.0}


def test_a_file_system_that_cannot_allocate_is_written_to(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, made: Made
) -> None:
    def cannot(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot)
    path = tmp_path / "counter_w0.db"
    file = made(path)
    for number in range(3000):
        file.write_value(key(f"n{number}"), 1.0, 0.0)
    assert len(counted(path)) == 3000
    assert path.stat().st_blocks * 512 >= path.stat().st_size


def test_nothing_is_written_where_somebody_put_another_folder(
    tmp_path: pathlib.Path, made: Made
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir(0o700)
    path = folder / "counter_w0.db"
    file = made(path)
    file.write_value(key("a"), 1.0, 0.0)
    folder.rename(tmp_path / "before")
    (tmp_path / "theirs").mkdir(0o700)
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "theirs" / "counter_w0.db.again").symlink_to(tmp_path / "precious")
    folder.symlink_to(tmp_path / "theirs")
    file.asked = True
    file.write_value(key("a"), 2.0, 0.0)
    folder.unlink()
    (tmp_path / "theirs").rename(folder)
    file.asked = True
    file.write_value(key("a"), 3.0, 0.0)
    assert (tmp_path / "precious").read_text() == "precious"
    assert file.problem
    assert file.read_value(key("a")) == (3.0, 0.0)
