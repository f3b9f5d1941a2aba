"""The memory-mapped file of counters, so that no disk and no cleaner can end or silence its worker.

prometheus_client makes a file long by truncating it: on a full disk the first write to such a page
is a SIGBUS, which ends the process. Here pages are allocated before they are mapped. What finds no
place is counted in memory, and put into the file once there is room; a file that was removed is
written anew, whole. Both are tried every few seconds, as part of an ordinary write, since only a
writer holds the lock that prometheus_client keeps over all of them.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import time
import weakref
from typing import Any

from prometheus_client import mmap_dict

from zk2etcd.config import files
from zk2etcd.logs import logger

_FIRST = 1 << 16  # as prometheus_client has it
_LOOK_EVERY = 2.0
_UNKNOWN = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)
_DAMAGED = (ValueError, TypeError, RuntimeError, struct.error)
_open: weakref.WeakSet[CounterFile] = weakref.WeakSet()
_looked_at = 0.0
_said: str | None = None


class CounterFile(mmap_dict.MmapedDict):
    """`prometheus_client.mmap_dict.MmapedDict` that never raises for want of a file."""

    def __init__(self, filename: str, read_mode: bool = False) -> None:
        assert not read_mode
        self._fname = filename
        self._aside: dict[str, tuple[float, float]] = {}
        self.problem: str | None = None
        self.asked = False
        """To try again what failed, at the next write."""
        self._begin()
        _open.add(self)

    def read_value(self, key: str) -> tuple[float, float]:
        if key in self._aside:
            return self._aside[key]
        if not self._has_place(key):
            return self._aside.setdefault(key, (0.0, 0.0))
        found: tuple[float, float] = super().read_value(key)  # type: ignore[no-untyped-call]
        return found

    def write_value(self, key: str, value: float, timestamp: float) -> None:
        if self.asked:
            self._again()
        if key in self._aside or not self._has_place(key):
            self._aside[key] = (value, timestamp)
        else:
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]

    def is_lost(self) -> bool:
        """Whether something is to be tried again."""
        if self._f is None or self._aside:
            return True
        try:
            there = os.lstat(self._fname)
        except OSError:
            return True
        ours = os.fstat(self._f.fileno())
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _begin(self) -> None:
        """Open and map the file at the path, or none."""
        self._f: Any = None
        self._m: Any = None
        self._positions: dict[str, int] = {}
        self._used = self._capacity = 0
        try:
            _grow(self._fname)
            self._map()
        except OSError as error:
            self.problem = f"{self._fname}: {error.strerror or error}"
            self._let_go()

    def _let_go(self) -> None:
        if self._f is not None:
            self._f.close()
            self._f = None

    def _map(self) -> None:
        try:
            super().__init__(self._fname)  # type: ignore[no-untyped-call]
        except _DAMAGED:  # what could be mended of it was, before
            self._let_go()
            os.truncate(self._fname, 0)
            _grow(self._fname)
            super().__init__(self._fname)  # type: ignore[no-untyped-call]

    def _has_place(self, key: str) -> bool:
        if key in self._positions:
            return True
        if self._f is None or self.problem is not None:
            return False
        needed = self._used + len(key.encode()) + 40
        try:
            while needed > self._capacity:
                _allocate(self._f.fileno(), 2 * self._capacity)
                self._init_capacity()
        except OSError as error:
            self.problem = f"{self._fname}: {error.strerror or error}"
            return False
        self._init_value(key)  # type: ignore[no-untyped-call]
        return True

    def _init_capacity(self) -> None:
        self._capacity *= 2
        self._m = mmap.mmap(self._f.fileno(), self._capacity)

    def _again(self) -> None:
        """What failed, or was taken from us, once more; the values that we know are the truth."""
        self.asked, self.problem = False, None
        if self._f is None:
            self._begin()
        elif self._was_taken():
            self._replace()
        for key, (value, timestamp) in list(self._aside.items()):
            if not self._has_place(key):
                break
            super().write_value(key, value, timestamp)  # type: ignore[no-untyped-call]
            del self._aside[key]

    def _was_taken(self) -> bool:
        aside, self._aside = self._aside, {}
        try:
            return self.is_lost()
        finally:
            self._aside = aside

    def _replace(self) -> None:
        """Write the file anew from what is mapped, in one step for whoever reads it."""
        fresh = f"{self._fname}.again"
        try:
            descriptor = _opened(fresh)
            try:
                _allocate(descriptor, self._capacity)
                os.pwrite(descriptor, self._m[:], 0)
                os.replace(fresh, self._fname)  # noqa: PTH105
            except OSError:
                os.unlink(fresh)  # noqa: PTH108
                raise
            finally:
                os.close(descriptor)
        except OSError as error:
            self.problem = f"{self._fname}: {error.strerror or error}"
            return
        self.close()  # type: ignore[no-untyped-call]
        self._begin()


def tend() -> None:
    """Have what failed tried again at the next write, and say what is wrong, once."""
    global _looked_at, _said  # noqa: PLW0603
    if time.monotonic() - _looked_at < _LOOK_EVERY:
        return
    _looked_at = time.monotonic()
    mapped = list(_open)
    problem = next((each.problem for each in mapped if each.problem), None)
    for each in mapped:
        each.asked = each.asked or each.is_lost()
    if problem and not _said:
        what = "metrics file cannot be written: what is new is counted in memory, and not shown"
        logger.get().error(what, error=problem)
    elif _said and not problem:
        logger.get().info("metrics files are written again")
    _said = problem


def _grow(path: str) -> None:
    """Have a file there that is as long as a new one at least, with a page for each byte."""
    descriptor = _opened(path)
    try:
        _allocate(descriptor, max(_FIRST, os.fstat(descriptor).st_size))
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    """Where a cleaner took our folder away, others may have put something in its place.

    :raises OSError: the folder is not ours alone.
    """
    if not files.is_private_folder(os.path.dirname(path)):  # noqa: PTH120
        raise FileNotFoundError(errno.ENOENT, "its folder is gone, or not ours alone")
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def _allocate(descriptor: int, size: int) -> None:
    """Have pages for all of the file's first `size` bytes, so that none can be missing later.

    :raises OSError: there is no room.
    """
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
        there = os.fstat(descriptor).st_size
        os.pwrite(descriptor, bytes(size - there), there)
