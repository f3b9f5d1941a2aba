"""What has to change: (wanted, present) -> writes, and keys that only etcd has. Pure.

Both sides come as streams in the byte order of the etcd keys, so nothing is held but the current
element of each. Deletes are not planned here: a key that only etcd has is a candidate, until
ZooKeeper has answered NoNode for its path (I2).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Wanted(NamedTuple):
    """A key as ZooKeeper has it. `value` None: the node exists but cannot be read, keep the key.
    `zxid` is the higher of czxid and mzxid."""

    key: bytes
    value: bytes | None
    path: bytes
    zxid: int


class Present(NamedTuple):
    """A key as etcd has it. `revision` is its mod_revision."""

    key: bytes
    value: bytes
    revision: int


class Write(NamedTuple):
    """One change to one key. `value` None deletes it. `mtime` in milliseconds since 1970, 0 when
    there is none to report. `expect`: only if the key's mod_revision is still this (0: absent);
    None in a stream that is the only writer."""

    key: bytes
    value: bytes | None
    path: bytes
    zxid: int
    mtime: int = 0
    expect: int | None = None


class Extra(NamedTuple):
    """A key that ZooKeeper's walk did not show."""

    key: bytes


class Counts:
    """Counted while a merge runs: keys wanted (readable or not), and keys present."""

    def __init__(self) -> None:
        self.wanted = 0
        self.present = 0


def merge(
    wanted: Iterable[Wanted], present: Iterable[Present], counts: Counts
) -> Iterator[Write | Extra]:
    """The differences, in key order. Both inputs must be strictly ascending by key."""
    have = iter(present)
    end = (None, b"", 0)
    there, held, _ = next(have, end)
    wanted_count = present_count = 0
    try:
        for key, value, path, zxid in wanted:
            wanted_count += 1
            while there is not None and there < key:
                present_count += 1
                yield Extra(there)
                there, held, _ = next(have, end)
            if there == key:
                present_count += 1
                if value is not None and held != value:
                    yield Write(key, value, path, zxid)
                there, held, _ = next(have, end)
            elif value is not None:
                yield Write(key, value, path, zxid)
        while there is not None:
            present_count += 1
            yield Extra(there)
            there, held, _ = next(have, end)
    finally:
        counts.wanted += wanted_count
        counts.present += present_count
