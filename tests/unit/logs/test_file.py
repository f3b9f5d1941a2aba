"""The log file: whole lines, none lost, whatever rotates it, and whatever goes wrong."""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests import polling
from zk2etcd import errors
from zk2etcd.config import models
from zk2etcd.logs import file as log_file

# Four that write all the time wait for each other most of it: on a busy machine for longer than a
# process waits for the lock before it writes without it, which is another test's matter.
WRITER = """
import sys, time
from zk2etcd.logs import logger, stderr
from zk2etcd.config import models
name, path, max_bytes, backups, lines = sys.argv[1:]
file = models.LogFile(path=path, max_bytes=int(max_bytes), backups=int(backups))
logger.setup(name, models.Log(format="json", file=file))
logger._Setting.file._patience = stderr.Patience(time.monotonic, most=60.0)
log = logger.get()
sys.stdin.readline()
for number in range(int(lines)):
    log.info("line", number=number, filler="x" * (number % 300))
"""


def settings(path: pathlib.Path, max_bytes: int = 4096, backups: int = 3) -> models.LogFile:
    return models.LogFile(path=str(path), max_bytes=max_bytes, backups=backups)


class Said:
    """What a file says on standard error."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, what: str, **fields: object) -> None:
        self.lines.append((what, fields))

    @property
    def events(self) -> list[str]:
        return [what for what, _ in self.lines]


@contextlib.contextmanager
def opened(one: models.LogFile) -> Iterator[tuple[log_file.File, Said]]:
    said = Said()
    file = log_file.File(one, said)
    yield file, said
    file.close()


def all_lines(folder: pathlib.Path) -> list[dict[str, Any]]:
    files = [path for path in folder.iterdir() if not path.name.endswith(".lock")]
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


def test_four_processes_lose_and_split_no_line_over_many_rotations(tmp_path: pathlib.Path) -> None:
    path, each = tmp_path / "zk2etcd.log", 1500
    command = [sys.executable, "-c", WRITER]
    processes = [
        subprocess.Popen(
            [*command, f"w{number}", str(path), "32768", "1000", str(each)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:  # all have started, so that all write at once
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait(60) for process in processes] == [0] * 4
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    found = all_lines(tmp_path)
    assert len(list(tmp_path.iterdir())) > 20, "no rotations"
    assert all(entry.stat().st_size <= 32768 for entry in tmp_path.iterdir())
    counts = collections.Counter((line["process"], line["number"]) for line in found)
    assert set(counts.values()) == {1}
    assert len(counts) == 4 * each


def test_as_many_old_files_are_kept_as_are_asked_for(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    with opened(settings(path, backups=2)) as (file, said):
        for number in range(20):
            file.write(b"%d %s\n" % (number, b"x" * 2000))
    names = sorted(each.name for each in tmp_path.iterdir())
    assert names == ["log", "log.1", "log.2", "log.lock"]
    numbers = [
        line.split()[0] for name in ("log.2", "log.1", "log") for line in _lines(tmp_path / name)
    ]
    assert numbers == [b"14", b"15", b"16", b"17", b"18", b"19"]
    assert not said.lines


def _lines(path: pathlib.Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_without_backups_the_file_is_begun_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    with opened(settings(path, backups=0)) as (file, _):
        for number in range(5):
            file.write(b"%d %s\n" % (number, b"x" * 2000))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.lock"]
    assert [line.split()[0] for line in _lines(path)] == [b"4"]


def test_only_the_owner_writes_and_no_stranger_reads(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    before = os.umask(0)
    try:
        with opened(settings(path)) as (file, _):
            file.write(b"a\n")
    finally:
        os.umask(before)
    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o640}


def test_a_file_that_logrotate_moved_is_left_and_a_new_one_begun(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    with opened(settings(path)) as (file, said):
        file.write(b"before\n")
        path.rename(tmp_path / "log-20260101")
        file.write(b"after\n")
    assert _lines(path) == [b"after"]
    assert _lines(tmp_path / "log-20260101") == [b"before"]
    assert not said.lines


def test_a_file_that_was_copied_and_truncated_goes_on_at_its_beginning(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "log"
    with opened(settings(path)) as (file, _):
        file.write(b"before\n")
        os.truncate(path, 0)
        file.write(b"after\n")
    assert path.read_bytes() == b"after\n"


def test_a_removed_folder_stops_nothing_is_said_once_and_recovered_from(
    tmp_path: pathlib.Path,
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with opened(settings(folder / "log")) as (file, said):
        file.write(b"a\n")
        folder.rename(tmp_path / "elsewhere")
        file.write(b"b\n")
        file.write(b"c\nd\n")
        assert said.events == ["log file cannot be written"]
        assert said.lines[0][1]["error"] == "No such file or directory"
        folder.mkdir()
        file.write(b"e\n")
    assert said.events[1:] == ["log file is written again"]
    assert said.lines[1][1]["lines_lost"] == 3
    assert _lines(folder / "log") == [b"e"]
    assert {each.name for each in folder.iterdir()} == {"log", "log.lock"}


def test_a_line_that_a_full_disk_tore_is_ended_and_none_is_erased(tmp_path: pathlib.Path) -> None:
    """O4: a line that another process wrote behind a torn one was cut off with it. Two processes at
    the very moment at which a disk fills up cannot be had from outside."""
    path = tmp_path / "log"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    config = settings(path, max_bytes=1_000_000)
    with opened(config) as (file, said), opened(config) as (other, _):
        file.write(b"whole\n")
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
        try:
            file.write(b"this one does not fit\n")
            file.write(b"nor this\n")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_bytes() == b"whole\nthis"
        other.write(b"another's\n")
        file.write(b"later\n")
    assert said.events == ["log file cannot be written", "log file is written again"]
    assert _lines(path) == [b"whole", b"this", b"another's", b"later"]


def test_a_disk_with_room_for_short_lines_alone_is_not_said_by_turns(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "log"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(settings(path, max_bytes=1_000_000)) as (file, said):
        for size in range(10, 60, 10):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
            try:
                file.write(b"x" * 100 + b"\n")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            file.write(b"s\n")
    assert said.events == ["log file cannot be written", "log file is written again"]


@pytest.mark.parametrize("backups", [0, 2])
def test_one_that_cannot_be_rotated_grows_and_that_is_said_once(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, backups: int
) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.1").write_text("the last one")
    cannot = [True]
    replace = pathlib.Path.replace

    def tried(self: pathlib.Path, target: pathlib.Path | str) -> pathlib.Path:
        if cannot[0] and path in (self, pathlib.Path(target)):  # as of a file that is mounted there
            raise OSError(errno.EBUSY, "Device or resource busy")
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", tried)
    monkeypatch.setattr(log_file, "_ROTATE_AGAIN", 0.0)
    lines = [b"%04d %s" % (number, b"x" * 500) for number in range(40)]
    with opened(settings(path, max_bytes=4096, backups=backups)) as (file, said):
        for line in lines[:-1]:
            file.write(line + b"\n")
        assert _lines(path) == lines[:-1]
        assert (tmp_path / "log.1").read_text() == "the last one"
        assert said.events == ["log file cannot be rotated, and grows"]
        cannot[0] = False
        file.write(lines[-1] + b"\n")
        assert said.events[1:] == ["log file is rotated again"]
    assert _lines(path) == lines[-1:]
    rest = [each for each in tmp_path.iterdir() if each.suffix in (".new", ".rotating")]
    assert rest == []


def test_a_rotation_that_was_broken_off_is_ended_first(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    (tmp_path / "log.rotating").write_bytes(b"older\n")
    path.write_bytes(b"x" * 5000 + b"\n")
    with opened(settings(path, max_bytes=4096)) as (file, _):
        file.write(b"one\n")
        assert (tmp_path / "log.1").read_bytes() == b"older\n"
        file.write(b"two\n")
    assert _lines(tmp_path / "log.2") == [b"older"]
    assert _lines(path) == [b"two"]


def test_a_process_that_was_stopped_with_the_lock_is_not_waited_for(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / "log"
    code = (
        "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, f"{path}.lock"]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with opened(settings(path)) as (file, said):
        for number in range(200):
            file.write(b"%d %s\n" % (number, b"x" * 100))
        assert len(_lines(path)) == 200, "nothing is rotated meanwhile"
        holder.communicate(timeout=10)
        file.write(b"last\n")
    assert _lines(path) == [b"last"]
    assert not said.lines


def test_a_removed_lock_file_is_made_anew(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "log"
    with opened(settings(path)) as (file, _):
        for number in range(10):
            file.write(b"%d %s\n" % (number, b"x" * 3000))
            (tmp_path / "log.lock").unlink(missing_ok=True)
        file.write(b"last\n")
        file.write(b"very last %s\n" % (b"x" * 4000))
        file.write(b"end\n")
    assert (tmp_path / "log.lock").exists()
    found = sum(len(_lines(each)) for each in tmp_path.glob("log*") if each.suffix != ".lock")
    assert found > 3


def test_the_settings_change_while_it_is_written(tmp_path: pathlib.Path) -> None:
    with opened(settings(tmp_path / "one")) as (file, _):
        file.write(b"a\n")
        file.change(settings(tmp_path / "two"))
        file.write(b"b\n")
    assert (_lines(tmp_path / "one"), _lines(tmp_path / "two")) == ([b"a"], [b"b"])


@pytest.mark.parametrize("kind", ["no folder", "folder", "fifo", "link to nothing"])
def test_what_cannot_be_a_log_file_is_said_at_the_start(tmp_path: pathlib.Path, kind: str) -> None:
    path = tmp_path / "log"
    if kind == "no folder":
        path = tmp_path / "none" / "log"
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "nothing")
    with pytest.raises(errors.StartError, match=r"cannot open the log file .*; correct log\.file"):
        log_file.check(settings(path))
    assert not (tmp_path / "nothing").exists()


def test_a_file_that_can_be_written_passes(tmp_path: pathlib.Path) -> None:
    log_file.check(None)
    log_file.check(settings(tmp_path / "log"))
    polling.until((tmp_path / "log").exists, 1)
