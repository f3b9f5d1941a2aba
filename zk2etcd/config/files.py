"""Reading small files that an operator named: bounded, regular, and never a surprise."""

from __future__ import annotations

import os
import stat

from zk2etcd.config import units

_ENCRYPTED = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
ENCRYPTED = (
    "an encrypted private key, and nobody is there to type its passphrase; write it without one"
    " (openssl pkey -in KEY -out PLAIN), for this user's eyes only"
)


class UnfitError(ValueError):
    """There is something, but no file that will be read."""


def is_encrypted(pem: bytes) -> bool:
    """Whether it holds a private key that a passphrase is needed for (RFC 5958, RFC 1421)."""
    return any(mark in pem for mark in _ENCRYPTED)


def is_private_folder(path: str) -> bool:
    """Whether it is a folder, no link to one, that is this user's and closed to all others."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    mine = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return mine and stat.S_IMODE(found.st_mode) == 0o700


def read(path: str, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    The size is looked at before the first byte is read, and a pipe is not waited for.

    :raises ValueError: it says why not, without naming the file; an UnfitError if it is no regular
        file or too large.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError("cannot be read (not a file name)") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnfitError("cannot be read (not a regular file)")
        content = b"" if status.st_size > limit else _content(descriptor, limit + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    finally:
        os.close(descriptor)
    if max(status.st_size, len(content)) > limit:
        raise UnfitError(f"is larger than {units.show_size(limit)}")
    return content


def _content(descriptor: int, most: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as file:
        return file.read(most)
