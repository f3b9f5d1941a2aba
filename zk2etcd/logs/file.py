"""The log file that all processes write to, and that rotates by itself.

Each process has a descriptor of its own. A lock on a file beside it is held over each write, so a
rotation never comes between a look at the file and the write: no line goes into a file that has
just been deleted, and none is split. Whatever goes wrong here (a full disk, a removed folder, a
process that was stopped while it had the lock) stops nothing: it is said once on stderr, and tried
again with the next line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from zk2etcd import errors
from zk2etcd.logs import stderr

if TYPE_CHECKING:
    from zk2etcd.config import models

_MODE = 0o640
_LOOK_AGAIN = 0.0005
_ROTATE_AGAIN = 30.0
_SAID_FOR = 60.0
"""Seconds for which it is not said again that lines are lost, or no more."""
_FLAGS = os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a FIFO must not be waited for


class File:
    """Safe to use from several threads. `say` gets (event, fields) for standard error."""

    def __init__(self, settings: models.LogFile, say: Callable[..., None]) -> None:
        self._settings = settings
        self._say = say
        self._lock = threading.Lock()
        self._patience = stderr.Patience(time.monotonic)
        self._fd: int | None = None
        self._lock_fd: int | None = None
        self._rotate_at = 0.0
        self._stuck = False
        self._failing = False
        self._silent_until = 0.0
        self._lost = 0

    def write(self, data: bytes) -> None:
        """Append whole lines, in one write. Never raises, never waits for more than a second."""
        with self._lock:
            try:
                self._append(data)
            except OSError as error:
                self._failed(error, data)
            else:
                self._succeeded()

    def change(self, settings: models.LogFile) -> None:
        """Write there from now on; another thread may be writing."""
        with self._lock:
            if settings.path != self._settings.path:
                self._close()
            self._settings = settings

    def close(self) -> None:
        with self._lock:
            self._close()

    def _close(self) -> None:
        for fd in (self._fd, self._lock_fd):
            if fd is not None:
                os.close(fd)
        self._fd = self._lock_fd = None

    # --- one write -----------------------------------------------------------------------------

    def _append(self, data: bytes) -> None:
        with self._locked() as held:
            size = self._follow()
            if held and size and size + len(data) > self._settings.max_bytes:
                size = self._rotated(size)
            assert self._fd is not None
            # A full disk takes a part of a line, of ours or of another process. What stands there
            # is never cut off: somebody may have written behind it.
            if not _ends_a_line(self._fd, size):
                data = b"\n" + data
            if os.write(self._fd, data) < len(data):
                raise OSError("the disk is full")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[bool]:
        """Whether we have the lock: whoever keeps it for long is not waited for, and then nothing
        is rotated."""
        if self._lock_fd is None:
            self._lock_fd = os.open(self._settings.path + ".lock", os.O_RDWR | _FLAGS, _MODE)
        held = self._taken(self._lock_fd)
        try:
            yield held
        finally:
            if held:
                fcntl.flock(self._lock_fd, fcntl.LOCK_UN)

    def _taken(self, fd: int) -> bool:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if self._patience.left() <= 0:
                    return False
            time.sleep(_LOOK_AGAIN)
            self._patience.spend(_LOOK_AGAIN)

    def _follow(self) -> int:
        """Open what stands at the path now, if it is another file than ours; its size."""
        path = self._settings.path
        if self._fd is not None:
            if _stands_at(path, self._fd):
                return os.fstat(self._fd).st_size
            self._lost_lock()
        fresh = _opened(path)
        if self._fd is not None:
            os.close(self._fd)
        self._fd = fresh
        return os.fstat(fresh).st_size

    def _rotated(self, size: int) -> int:
        """Begin a new file, or go on in this one where that cannot be, and say so once; the size of
        the file that is written to after it."""
        now = time.monotonic()
        if self._rotate_at > now:
            return size
        try:
            size = self._rotate(size)
        except OSError as error:
            self._rotate_at = now + _ROTATE_AGAIN
            if not self._stuck:
                self._stuck = True
                what = "log file cannot be rotated, and grows"
                self._say(what, path=self._settings.path, error=error.strerror or str(error))
            return self._follow()
        if self._stuck:
            self._stuck = False
            self._say("log file is rotated again", path=self._settings.path)
        return size

    def _rotate(self, size: int) -> int:
        """Under the lock. The file itself moves first: where it cannot, no old one is moved for
        nothing, and in the end over the oldest."""
        path, backups = self._settings.path, self._settings.backups
        if self._lost_lock():
            return size
        if not backups:
            _emptied(path)
            return self._follow()
        aside = pathlib.Path(path + ".rotating")
        if not aside.exists():  # else whoever began that did not come to the end of it
            pathlib.Path(path).replace(aside)
        for number in range(backups - 1, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                pathlib.Path(f"{path}.{number}").replace(f"{path}.{number + 1}")
        aside.replace(path + ".1")
        return self._follow()

    def _lost_lock(self) -> bool:
        """Whether somebody removed the lock's file, so that others may have another by now. Then
        we have that one too, and nothing is rotated this time."""
        assert self._lock_fd is not None
        path = self._settings.path + ".lock"
        if _stands_at(path, self._lock_fd):
            return False
        fresh = os.open(path, os.O_RDWR | _FLAGS, _MODE)
        os.dup2(fresh, self._lock_fd, inheritable=False)
        os.close(fresh)
        return True

    # --- what goes wrong -----------------------------------------------------------------------

    def _failed(self, error: OSError, data: bytes) -> None:
        self._lost += data.count(b"\n")
        if not self._failing:
            self._failing = True
            if self._silent_until > time.monotonic():
                return
            what = error.strerror or str(error)
            self._say("log file cannot be written", path=self._settings.path, error=what)

    def _succeeded(self) -> None:
        if self._failing:
            self._failing = False
            if self._silent_until > time.monotonic():
                return  # by turns: short lines find room, long ones do not
            lost, self._lost = self._lost, 0
            self._silent_until = time.monotonic() + _SAID_FOR
            self._say("log file is written again", path=self._settings.path, lines_lost=lost)


def check(settings: models.LogFile | None) -> None:
    """:raises errors.StartError: the file, or the lock beside it, cannot be opened."""
    if settings is None:
        return
    try:
        os.close(_opened(settings.path))
        os.close(os.open(settings.path + ".lock", os.O_RDWR | _FLAGS, _MODE))
    except OSError as error:
        raise errors.StartError(
            f"cannot open the log file {settings.path}: {error.strerror or error};"
            " correct log.file.path, or make its folder writable"
        ) from error


def _ends_a_line(fd: int, size: int) -> bool:
    try:
        return size == 0 or os.pread(fd, 1, size - 1) in (b"\n", b"")
    except OSError:  # a file that may be written, not read
        return True


def _emptied(path: str) -> None:
    fresh = path + ".new"
    os.close(_opened(fresh))
    try:
        pathlib.Path(fresh).replace(path)
    except OSError:
        pathlib.Path(fresh).unlink()
        raise


def _opened(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_APPEND | _FLAGS, _MODE)
    except PermissionError:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | _FLAGS, _MODE)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(f"{path} is not a regular file")
    return fd


def _stands_at(path: str, fd: int) -> bool:
    try:
        there = os.lstat(path)
    except FileNotFoundError:  # moved away, or its folder is gone
        return False
    ours = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
