"""The paths that differ so far, in bounded memory: in a temporary file once there are many.

An empty etcd makes every node a difference, and a million paths of 200 bytes are no reason to
take 300 MB on a production host.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("missing", "extra", "differs", "conflict", "kept_last")
MISSING, EXTRA, DIFFERS, CONFLICT, KEPT_LAST = KINDS
UNKNOWN = -1
"""The `revision` of a key that has not been read by itself yet."""

_IN_MEMORY = 4 * 1024 * 1024
_HEAD = struct.Struct(">B?qI")


class Record(NamedTuple):
    """A path that differs; `revision` is its key's mod_revision in etcd when that was last seen, 0
    for an absent key. `moved`: it was another one the time before."""

    kind: str
    path: bytes
    revision: int = UNKNOWN
    moved: bool = False


class Spool:
    """Add records, then iterate over them as often as you like; close it to free the file."""

    def __init__(self) -> None:
        # Kept open on purpose: it is this object's storage, and `close` ends it.
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._count = 0

    def add(self, record: Record) -> None:
        self._file.seek(0, 2)
        kind = KINDS.index(record.kind)
        self._file.write(_HEAD.pack(kind, record.moved, record.revision, len(record.path)))
        self._file.write(record.path)
        self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Record]:
        at = 0
        for _ in range(self._count):
            self._file.seek(at)
            kind, moved, revision, length = _HEAD.unpack(self._file.read(_HEAD.size))
            yield Record(KINDS[kind], self._file.read(length), revision, moved)
            at += _HEAD.size + length

    def close(self) -> None:
        self._file.close()

    __del__ = close
