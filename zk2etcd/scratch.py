"""The private folder of one supervisor, for the counters and stacks of its workers.

It lies below TMPDIR, where anything may befall it: cleaners remove what is old, disks fill up, a
kill -9 leaves it behind. None of that may keep a worker from starting. So it is looked at before
each start and every few seconds, and made anew where it is gone; and a lock (flock) on it says that
its supervisor lives, whatever pids are used for since. systemd's cleaner passes over a folder that
is locked (tmpfiles.d(5)).
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import pathlib
import shutil
import stat
import tempfile
import time

from zk2etcd.config import files
from zk2etcd.logs import logger

_PREFIX = "zk2etcd-metrics-"
_MARK = ".locked-while-in-use"
"""In each folder whose lock means something: releases before this one held none."""
_LOOK_EVERY = 5.0
_ROOM = 256 * 1024


class Nowhere:
    """No folder: nothing is counted, and stacks are not gathered."""

    problem: str | None = None

    def where(self) -> str:
        """The folder's path now, "" while there is none."""
        return ""

    def ready(self) -> str:
        """See that there is one of ours, and where. Where none can be made now, it is where one
        will be: who is given that counts in memory until then."""
        return ""

    def tend(self, now: float) -> None:
        """Look at it if it is time: does it stand, is there room in it?"""


class Folder(Nowhere):
    """Owned by the supervisor's main thread; `where` and `problem` may be asked by any.

    :raises OSError: there is no place for a folder at all.
    """

    def __init__(self) -> None:
        _sweep()
        self._lock: int | None = None
        self._path = self._made(tempfile.mkdtemp(prefix=_PREFIX))
        self._stands = True
        self._looked_at = time.monotonic()
        self.problem: str | None = None
        atexit.register(self._remove)

    def where(self) -> str:
        return self._path if self._stands else ""

    def ready(self) -> str:
        if not self._is_ours():
            self._again()
        return self._path

    def tend(self, now: float) -> None:
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        self.ready()
        if self._stands:
            self._say(_without_room(self._path))

    def _is_ours(self) -> bool:
        if self._lock is None:
            return False
        try:
            found = os.lstat(self._path)
        except OSError:
            return False
        ours = os.fstat(self._lock)
        same = (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)
        if same and stat.S_IMODE(found.st_mode) != 0o700:
            with contextlib.suppress(OSError):
                os.fchmod(self._lock, 0o700)
        return same and files.is_private_folder(self._path)

    def _again(self) -> None:
        before = self._path
        try:
            self._path, self._stands = self._made(self._fresh()), True
        except OSError as error:
            self._stands = False
            # Not the name that was tried: it is another one each time, and would be said anew.
            self._say(f"{tempfile.gettempdir()}: {error.strerror or error}")
            return
        what = "the folder for metrics was gone: made anew; counts of workers that ended are lost"
        logger.get().warning(what, path=self._path, before=before)

    def _fresh(self) -> str:
        """At the old place, where workers that run look for it, unless there is something else."""
        with contextlib.suppress(OSError):
            os.mkdir(self._path, 0o700)  # noqa: PTH102
            return self._path
        return tempfile.mkdtemp(prefix=_PREFIX)

    def _made(self, path: str) -> str:
        lock = _locked(path)
        if self._lock is not None:
            os.close(self._lock)
        self._lock = lock
        return path

    def _say(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            what = "metrics cannot be kept in their folder: what is new is not shown"
            logger.get().error(what, folder=self._path, error=problem)
        elif problem is None and self.problem is not None:
            logger.get().info("metrics are kept in their folder again", folder=self._path)
        self.problem = problem

    def _remove(self) -> None:
        if self._is_ours():
            shutil.rmtree(self._path, ignore_errors=True)


def _locked(path: str) -> int:
    """A descriptor that holds the lock of a folder that was just made; it ends with us."""
    mark = os.open(os.path.join(path, _MARK), os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)  # noqa: PTH118
    os.close(mark)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # where locks are unknown, it is not swept either
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _without_room(path: str) -> str | None:
    """Why nothing new could be kept there: the disk, a quota, rights. None if it could."""
    probe = os.path.join(path, ".probe")  # noqa: PTH118
    try:
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _ROOM)
        finally:
            os.close(descriptor)
            os.unlink(probe)  # noqa: PTH108
    except OSError as error:
        return f"{path}: {error.strerror}"
    return None


def _sweep() -> None:
    """Remove the folders of supervisors of this user that are dead."""
    with contextlib.suppress(OSError):
        for found in pathlib.Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                _sweep_one(found)


def _sweep_one(folder: pathlib.Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid() or not (folder / _MARK).exists():
            return
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: it lives
        shutil.rmtree(folder, ignore_errors=True)
        logger.get().info("removed the folder of a supervisor that is dead", path=str(folder))
    finally:
        os.close(descriptor)
