"""Reading small files that an operator named: bounded, regular, and never a surprise."""

from __future__ import annotations

import os
import stat

from zk2etcd import units


def read(path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    The size is looked at before the first byte is read, and a pipe is not waited for.

    :raises ValueError: it says why not, without naming the file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot be read ({_reason(error)})") from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("cannot be read (not a regular file)")
        if status.st_size > limit:
            raise ValueError(_too_large(limit))
        try:
            content = file.read(limit + 1)
        except OSError as error:
            raise ValueError(f"cannot be read ({_reason(error)})") from None
    if len(content) > limit:
        raise ValueError(_too_large(limit))
    return content


def read_text(path: str, limit: int) -> str:
    """As `read`, decoded.

    :raises ValueError: also for a file that is not UTF-8.
    """
    try:
        return read(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def _too_large(limit: int) -> str:
    return f"is larger than {units.show_size(limit)}"


def _reason(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or "not a file name"
